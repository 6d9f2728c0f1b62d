"""From a float delta to ring elements and back: clip, weigh, round without bias, append the slots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.secagg.errors import CountMismatch, MalformedMessage, NotFinite, RingOverflow, WeightTooLarge
from fl_tasks.secagg.masking import Ring, keystream, signed_sum
from fl_tasks.secagg.parameters import SLOTS, FixedPoint, delta_encoding, largest_weight, loss_encoding

# Keeps delta * clip / norm at or below clip in floating point; far below one quantization step.
_SHRINK = 1.0 - 1e-12


@dataclass(frozen=True)
class OpenedSum:
    """What a round's sum tells: the weighted mean of the survivors' deltas, and the slots."""

    mean_delta: NDArray[np.float64]
    members: int
    examples: int
    clipped: int
    mean_loss: float
    mean_validation_loss: float


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
        NotFinite: If the delta or a loss holds NaN or infinity.
        WeightTooLarge: If examples exceed w_max * n_ref.
        RingOverflow: If a value exceeds its bound after clipping; cannot happen, and is checked.
    """
    if not np.isfinite(delta).all() or not np.isfinite(losses).all() or min(losses) < 0:
        raise NotFinite(
            "the model delta or a loss of it holds NaN, infinity or a negative loss: training diverged; "
            "lower the client learning rate"
        )
    most = largest_weight(n, config)
    if not 1 <= examples <= most:
        raise WeightTooLarge(
            f"{examples} training examples, the roster admits 1 to {most} (w_max * n_ref): "
            "cap the agency's windows, or agree on a roster with a larger secagg.n_ref"
        )
    norm = float(np.linalg.norm(delta))
    clipped = norm > config.clip
    weight = examples / config.n_ref
    factor = weight * (config.clip / norm * _SHRINK if clipped else 1.0)
    # The delta and the losses draw from one stream, so that no two values share a rounding word.
    draws = keystream(rounding_key, delta.size + len(losses))
    quantized = _round(delta * factor, draws[: delta.size], delta_encoding(n, config))
    loss_words = _round(np.minimum(losses, config.max_loss) * weight, draws[delta.size :], loss_encoding(n, config))
    slots = np.array([1, examples, int(clipped), *loss_words], dtype=np.int64)
    return np.concatenate([quantized, slots]).astype(np.uint32)


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
    values = signed_sum(total)
    members, examples, clipped, loss, validation_loss = (int(value) for value in values[-len(SLOTS) :])
    if members != survivors or examples < members or not 0 <= clipped <= members:
        raise CountMismatch(
            f"the opened sum counts {members} members, the manifest has {survivors}: an update or a "
            "mask was altered; the round's model is not used"
        )
    weight = examples / config.n_ref
    loss_steps = loss_encoding(n, config).scale * weight
    return OpenedSum(
        mean_delta=values[: -len(SLOTS)] / (delta_encoding(n, config).scale * weight),
        members=members,
        examples=examples,
        clipped=clipped,
        mean_loss=loss / loss_steps,
        mean_validation_loss=validation_loss / loss_steps,
    )


def _round(values: NDArray[np.float64], draws: Ring, encoding: FixedPoint) -> NDArray[np.int64]:
    """Scale and round to integers: up with a probability equal to the fractional part."""
    scaled = values * encoding.scale
    lower = np.floor(scaled)
    up = draws < (scaled - lower) * 2.0**32
    result = (lower + up).astype(np.int64)
    if result.size and int(np.abs(result).max()) > encoding.limit:
        raise RingOverflow(f"a quantized value exceeds {encoding.limit}, the most that {encoding.n} agencies may add")
    return result
