"""Early stop: only validation losses decide, and the model of the smallest one is kept."""

from __future__ import annotations

import pytest

from fl_tasks.contracts.config import EarlyStopConfig
from fl_tasks.contracts.report import RoundRecord
from fl_tasks.stages.early_stop import stopped_at

CONFIG = EarlyStopConfig(patience=2, min_improvement=0.01)


def records(*losses, rounds=None):
    return [
        RoundRecord(
            round=round_,
            survivors=("a", "b", "c"),
            loss=1.0,
            validation_loss=loss,
            clipped=0,
            examples=10,
            seconds=1.0,
            model_sha256="0" * 64,
        )
        for round_, loss in zip(rounds or range(1, len(losses) + 1), losses, strict=True)
    ]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((), None),
        ((1.0,), None),
        ((1.0, 0.9, 0.8, 0.7), None),
        ((1.0, 0.9, 0.9), None),
        # Round 2 judged the model of round 1: rounds 3 and 4 did not improve on it.
        ((1.0, 0.9, 0.9, 0.95), 1),
        ((1.0, 1.1, 1.2), 0),
        # A fall of less than 1 % is no improvement; it does not move the mark either.
        ((1.0, 0.995, 0.991), 0),
        ((1.0, 0.995, 0.98), None),
    ],
)
def test_the_run_stops_after_patience_rounds_with_the_model_of_the_smallest_validation_loss(losses, expected):
    assert stopped_at(records(*losses), CONFIG) == expected


def test_a_burnt_round_between_two_does_not_shift_which_model_was_judged():
    # Round 2 is burnt: round 3 started from the model of round 1.
    assert stopped_at(records(1.0, 0.5, 0.6, 0.6, rounds=(1, 3, 4, 5)), CONFIG) == 1


def test_without_early_stop_and_without_validation_losses_the_rounds_go_on():
    assert stopped_at(records(1.0, 1.1, 1.2), None) is None
    assert stopped_at(records(None, None, None), CONFIG) is None
