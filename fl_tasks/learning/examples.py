"""An agency's examples, memory-mapped, in the order that a seed decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import InputError, MissingInput
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.learning.runtime import Dataset, tf


@dataclass(frozen=True)
class Examples:
    """x of shape (n, *input_shape) and y of shape (n, *output_shape), float32; n is at least 1."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.x.shape[0])


def open_examples(folder: Path, spec: ModelSpec) -> Examples:
    """Map x.npy and y.npy of a folder into memory, read-only; pages are read when a batch needs them.

    Raises:
        MissingInput: If a file is not there.
        InputError: If a file is no npy file of float32 numbers, or its shape is not the model's.
    """
    x = _map(folder / "x.npy", spec.input_shape)
    y = _map(folder / "y.npy", spec.output_shape)
    if len(x) != len(y):
        raise InputError(f"{folder}: x.npy holds {len(x)} examples, y.npy {len(y)}; standardize the data again")
    return Examples(x, y)


def open_inputs(folder: Path, spec: ModelSpec) -> NDArray[np.float32]:
    """Map x.npy of a folder into memory, shape (n, *input_shape), without targets; raises as open_examples."""
    return _map(folder / "x.npy", spec.input_shape)


def _map(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        array: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise MissingInput(f"{path}: there are no examples yet; run the stage standardize first") from error
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: not an npy file of plain numbers ({type(error).__name__})") from error
    if array.dtype != np.float32 or array.shape[1:] != shape or array.ndim == 0:
        raise InputError(f"{path}: holds {array.dtype} of shape {array.shape}, needs float32 of shape (n, *{shape})")
    if len(array) == 0:
        raise InputError(f"{path}: holds no example; at least one is needed")
    return array


def batches(examples: Examples, *, size: int, epochs: int, seed: int) -> Dataset:
    """Return a `tf.data.Dataset` of (x, y): `epochs` passes, each in an order of its own, nothing dropped.

    Args:
        examples: What is passed over.
        size: Examples in a batch; the last batch of each pass holds the rest.
        epochs: Passes, from 1.
        seed: Decides the order of every pass. No secret: numpy's Philox stream of it.
    """

    def generate() -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        order = np.random.Generator(np.random.Philox(seed))
        for _ in range(epochs):
            permutation = order.permutation(len(examples))
            for start in range(0, len(examples), size):
                chosen = permutation[start : start + size]
                yield examples.x[chosen], examples.y[chosen]

    signature = tuple(tf.TensorSpec((None, *array.shape[1:]), tf.float32) for array in (examples.x, examples.y))
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(2)
