"""Asking a person whether a model that passed the gate may become champion."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from fl_tasks.contracts.approval import Approval

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.contracts.approval import PromotionConfig


class PromotionApproval(ApprovalOperator):
    """Ask the scenario's approvers, in Airflow's own list of required actions, and wait without a process.

    A rejection skips the promotion. So does the end of the time to answer. XCom holds an Approval, which the stages
    `promote` and `report` get: it is they who hold the model.

    Args:
        title: The scenario's.
        promotion: Who is asked, and for how long.
    """

    def __init__(self, *, title: str, promotion: PromotionConfig, **kwargs: Any) -> None:  # noqa: ANN401 - its own
        super().__init__(
            subject=f"{title}: may the new model become champion?",
            body="{{ ti.xcom_pull(task_ids='gate')['reason'] }}\n\n"
            "SHA-256 of the model: `{{ ti.xcom_pull(task_ids='gate')['digests']['model'] }}`",
            defaults=self.REJECT,
            assigned_users=[{"id": user, "name": user} for user in promotion.approvers],
            response_timeout=dt.timedelta(hours=promotion.deadline_hours),
            **kwargs,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Leave the answer; a rejection skips what follows."""
        value = _answer(event, self.APPROVE).model_dump(mode="json")
        # A rejection leaves this method by an exception that skips the promotion.
        context["ti"].xcom_push(key="return_value", value=value)
        super().execute_complete(context, event)
        return value


def _answer(event: dict[str, Any], approve: str) -> Approval:
    """Return what the scheduler says of the answer, or of its absence."""
    user = event["responded_by_user"]
    if user is None:
        return Approval(answer="overdue", at=event["responded_at"])
    approved = event["chosen_options"] == [approve]
    return Approval(answer="approved" if approved else "rejected", by=user["name"], at=event["responded_at"])
