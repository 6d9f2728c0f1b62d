"""Whether a person agreed to a promotion, where the scenario asks for it."""

from __future__ import annotations

from fl_tasks.contracts.config import ScenarioConfig
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.stage import StageSpec


class ApprovalMissing(FLError):
    """The scenario asks for a person's word on a promotion, and there is none."""


def require_answer(spec: StageSpec, config: ScenarioConfig) -> None:
    """Hold a promotion that the gate let pass against what was asked of a person.

    Raises:
        ApprovalMissing: If the scenario asks, and nobody was asked in this run.
    """
    if config.asks and spec.approval is None:
        raise ApprovalMissing(
            f"scenario {spec.scenario}: promotion.approval needs a person's word before a model is promoted, and this "
            "run has none: clear its task approve, answer it in Airflow, and let the run go on"
        )


def refusal(spec: StageSpec) -> str | None:
    """Return why a model that the gate let pass is held all the same; None if nobody said no."""
    answer = spec.approval
    if answer is None or answer.answer == "approved":
        return None
    if answer.answer == "overdue":
        return f"the gate let the model pass, but nobody approved it until {answer.at:%Y-%m-%d %H:%M %Z}"
    return f"the gate let the model pass, but {answer.by} rejected it on {answer.at:%Y-%m-%d}"


def agreement(spec: StageSpec) -> str:
    """Return who agreed, as a report says it after the gate's reason; empty if nobody was asked."""
    answer = spec.approval
    return "" if answer is None or answer.answer != "approved" else f"; {answer.by} approved it on {answer.at:%Y-%m-%d}"
