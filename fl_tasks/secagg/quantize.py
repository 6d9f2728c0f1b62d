"""From a float delta to ring elements and back: clip, weigh, round without bias, append the slots.

Floats pass in chunks, one range of them a core; no second vector of float64 is ever made. With smaller chunks two
threads are slower than one: an operation has to take longer than handing over the interpreter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.secagg.errors import CountMismatch, MalformedMessage, NotFinite, RingOverflow, WeightTooLarge
from fl_tasks.secagg.masking import CHUNK_WORDS, RANGE_WORDS, Ring, keystream, keystream_chunks, on_all_cores
from fl_tasks.secagg.parameters import SLOTS, FixedPoint, delta_encoding, largest_weight, loss_encoding

# Keeps a clipped delta at or below clip in floating point; far below one quantization step.
_SHRINK = 1.0 - 1e-12
_DRAWS = 2.0**32  # every draw is below it


@dataclass(frozen=True)
class OpenedSum:
    """What a round's sum tells: the weighted mean of the survivors' deltas, and the slots.

    The sum is kept as it is, 4 bytes a value; the mean is made from it when it is asked for, another 8 bytes a value.
    """

    steps: NDArray[np.int32]
    step_count: float
    members: int
    examples: int
    clipped: int
    mean_loss: float
    mean_validation_loss: float

    @property
    def mean_delta(self) -> NDArray[np.float64]:
        """The weighted mean, shape (d,); a new vector at every call."""
        return self.steps / self.step_count


def encode_update(
    delta: NDArray[np.float64],
    examples: int,
    losses: tuple[float, float],
    n: int,
    config: SecAggConfig,
    rounding_key: bytes,
) -> Ring:
    """Turn one agency's model delta into ring elements.

    The delta is clipped to L2 norm `clip`, weighted by examples / n_ref, scaled and rounded up or down with
    the probability that makes the rounding unbiased.

    No sum over up to n agencies leaves [-2^31, 2^31). Proof, with L = floor((2^31 - 1) / n): after clipping no
    coordinate exceeds clip * (1 - 1e-12), the weight is at most w_max and scale = L / (w_max * clip), so that
    |value| <= L * (1 - 1e-12). Norm and products as computed are off by less than 1e-13 of the value (pairwise
    sums: some 150 roundings of 2^-53), so |value| < L * (1 - 1e-13) holds for them, too. What is rounded up is the
    value less a draw below 1, computed with one more rounding of 2^-53: it lies above -L - 1 and below L. The integer
    above it is one of -L..L, and n * L <= 2^31 - 1. The losses are cut at max_loss * (1 - 1e-12), likewise. The slots
    members, examples and clipped are at most L by the check on examples.

    Args:
        delta: Shape (d,), initial minus trained weights.
        examples: The agency's weight in training examples, 1..w_max * n_ref.
        losses: Mean training loss and mean validation loss; what exceeds max_loss counts as max_loss.
        n: Agencies of the roster.
        config: The roster's parameters.
        rounding_key: 32 bytes; decides the rounding, so that the same input gives the same bytes.

    Returns:
        Shape (d + 5,): the delta, then members, examples, clipped, loss, validation loss.

    Raises:
        NotFinite: If the delta or a loss holds NaN or infinity, or the delta's norm is no finite number.
        WeightTooLarge: If examples exceed w_max * n_ref.
        RingOverflow: If a value exceeds its bound after clipping; cannot happen, and is checked.
    """
    norm = _norm(delta)
    _check_finite(norm, losses)
    _check_weight(examples, largest_weight(n, config))
    weight = examples / config.n_ref
    clipped = norm > config.clip
    factor = weight * min(1.0, config.clip / norm * _SHRINK) if norm else weight
    encoding = delta_encoding(n, config)
    update = np.empty(delta.size + len(SLOTS), dtype=np.uint32)

    def work(start: int, stop: int) -> None:
        scratch = np.empty(CHUNK_WORDS)
        chunks = keystream_chunks(rounding_key, start, stop)
        for at, draws in zip(range(start, stop, CHUNK_WORDS), chunks, strict=True):
            part = slice(at, at + draws.size)
            _round(delta[part], factor, draws, encoding, update[part], scratch)

    on_all_cores(delta.size, RANGE_WORDS, work)
    update[delta.size :][:3] = 1, examples, int(clipped)
    # The delta and the losses draw from one stream, so that no two values share a rounding word.
    draws = keystream(rounding_key, len(losses), delta.size)
    capped = np.minimum(losses, config.max_loss * _SHRINK)
    _round(capped, weight, draws, loss_encoding(n, config), update[delta.size + 3 :], np.empty(len(losses)))
    return update


def decode_sum(total: Ring, survivors: int, n: int, config: SecAggConfig) -> OpenedSum:
    """Read the unmasked sum of a round.

    Args:
        total: Shape (d + 5,), the sum modulo 2^32 of encode_update's results over the survivors.
        survivors: Size of the survivor set.
        n: Agencies of the roster.
        config: The roster's parameters.

    Raises:
        CountMismatch: If the sum counts other members than survive, or nobody's examples.
    """
    if total.ndim != 1 or total.size <= len(SLOTS):
        raise MalformedMessage(f"a sum of shape {total.shape} has no room for a model and {len(SLOTS)} slots")
    values = np.ascontiguousarray(total, dtype=np.uint32).view(np.int32)
    members, examples, clipped, loss, validation_loss = (int(value) for value in values[-len(SLOTS) :])
    _check_count(members, examples, clipped, survivors)
    weight = examples / config.n_ref
    loss_steps = loss_encoding(n, config).scale * weight
    return OpenedSum(
        steps=values[: -len(SLOTS)],
        step_count=delta_encoding(n, config).scale * weight,
        members=members,
        examples=examples,
        clipped=clipped,
        mean_loss=loss / loss_steps,
        mean_validation_loss=validation_loss / loss_steps,
    )


def _check_finite(norm: float, losses: tuple[float, float]) -> None:
    if not np.isfinite((norm, *losses)).all() or min(losses) < 0:
        raise NotFinite(
            "the model delta or a loss of it holds NaN, infinity or a negative loss: training diverged; "
            "lower the client learning rate"
        )


def _check_weight(examples: int, most: int) -> None:
    if not 1 <= examples <= most:
        raise WeightTooLarge(
            f"{examples} training examples, the roster admits 1 to {most} (w_max * n_ref): "
            "cap the agency's windows, or agree on a roster with a larger secagg.n_ref"
        )


def _check_count(members: int, examples: int, clipped: int, survivors: int) -> None:
    if members != survivors or examples < members or not 0 <= clipped <= members:
        raise CountMismatch(
            f"the opened sum counts {members} members, the manifest has {survivors}: an update or a "
            "mask was altered; the round's model is not used"
        )


def _norm(delta: NDArray[np.float64]) -> float:
    """The L2 norm, infinite or NaN if a value is; the order of the additions is the same on every machine."""
    with np.errstate(over="ignore", invalid="ignore"):
        chunks = (delta[at : at + CHUNK_WORDS] for at in range(0, delta.size, CHUNK_WORDS))
        return math.sqrt(np.add.reduce([np.add.reduce(np.square(chunk, dtype=np.float64)) for chunk in chunks]))


def _round(
    values: NDArray[np.floating[Any]],
    factor: float,
    draws: Ring,
    encoding: FixedPoint,
    out: Ring,
    scratch: NDArray[np.float64],
) -> None:
    """Weigh, scale and round to integers: up with a probability equal to the fractional part.

    ceil(x - draw / 2^32) is x rounded up where draw < fraction * 2^32, else down. Unbiased, to 2^-32 and the
    floating-point step of x: a draw is uniform on [0, 2^32).

    Args:
        values: Shape (c,).
        factor: Of all values.
        draws: Shape (c,), the keystream.
        encoding: Scale and limit.
        out: Shape (c,), gets the integers modulo 2^32.
        scratch: Shape (c,) or longer; is overwritten.
    """
    steps, whole = scratch[: values.size], out.view(np.int32)
    # 2^32 times as large, so that the draws need no scaling; a power of two costs no precision.
    np.multiply(values, factor * encoding.scale * _DRAWS, out=steps, dtype=np.float64)
    np.subtract(steps, draws, out=steps)
    steps *= 1 / _DRAWS
    np.ceil(steps, out=steps)
    np.copyto(whole, steps, casting="unsafe")  # what does not fit becomes the smallest int32, and is refused
    _check_range(whole, encoding)


def _check_range(whole: NDArray[np.int32], encoding: FixedPoint) -> None:
    if whole.size and (whole.max() > encoding.limit or whole.min() < -encoding.limit):
        raise RingOverflow(f"a quantized value exceeds {encoding.limit}, the most that {encoding.n} agencies may add")
