"""The same rows in the scale of another preparation: what a champion of an earlier survey has to be shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.preparation import Preparation


def rescaled(x: NDArray[np.float32], ours: Preparation, theirs: Preparation) -> NDArray[np.float32]:
    """Return rows as another preparation would have encoded them.

    A number's feature is (v - mean) / std, and so linear in the feature of any other scale. 0 of a number that is
    missing stays 0, and so do features that are no numbers.

    Args:
        x: Shape (n, features), encoded by `ours`; not changed.
        ours: What the rows were encoded by.
        theirs: What they are wanted in; of the same levels and features.

    Returns:
        Shape (n, features), equal to the direct encoding to the rounding of float32 in x, times the quotient of the
        two standard deviations.

    Raises:
        ConfigError: If the two are of other levels or features, or x is of neither.
    """
    if not ours.same_features(theirs) or x.ndim != 2 or x.shape[1] != len(ours.features):
        raise ConfigError(
            f"rows of shape {x.shape} with {len(ours.features)} features cannot be put into the scale of a preparation "
            f"with {len(theirs.features)}: levels and features must be the same"
        )
    result = x.copy()
    for place, name in enumerate(ours.features):
        if name not in ours.scales:
            continue
        mine, other = ours.scales[name], theirs.scales[name]
        value = x[:, place].astype(np.float64) * mine.std + mine.mean
        result[:, place] = (value - other.mean) / other.std
        if f"{name}?" in ours.features:
            result[x[:, ours.features.index(f"{name}?")] == 1.0, place] = 0.0
    return result
