"""Early stop: when the rounds end before the wanted number, and with which round's model. Sees validation losses only.

The validation loss of round r is that of the model which the round started from: the masked updates of the round
carry it. The model of the last round is therefore never judged by it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fl_tasks.contracts.config import EarlyStopConfig
from fl_tasks.contracts.report import RoundRecord


def stopped_at(records: Sequence[RoundRecord], config: EarlyStopConfig | None) -> int | None:
    """Return the round whose model the run ends with, 0 for the initial one, or None while the rounds go on.

    Args:
        records: Aggregated rounds in order; each has a validation loss if config is set.
        config: Patience in rounds, and the share by which a loss must fall to count.

    Returns:
        The round before the one with the smallest validation loss, once `patience` rounds have not improved on it.
    """
    if config is None:
        return None
    best: tuple[float, int] | None = None
    waited = 0
    before = 0
    for record in records:
        if record.validation_loss is None:
            return None
        if best is None or record.validation_loss < best[0] * (1.0 - config.min_improvement):
            best, waited = (record.validation_loss, before), 0
        else:
            waited += 1
        before = record.round
    if best is None or waited < config.patience:
        return None
    return best[1]
