"""Who is asked: a person before a promotion, and the agencies' data officers before any data are opened."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, model_validator

from fl_tasks.contracts.base import Contract


class Approval(Contract):
    """A person's answer, as the scheduler recorded it; nobody's, once the time to answer is over."""

    answer: Literal["approved", "rejected", "overdue"]
    by: str | None = Field(default=None, max_length=100, description="Who answered, by the name in Airflow.")
    at: dt.datetime = Field(description="When, with the UTC offset.")


class PromotionConfig(Contract):
    """Whether a person has to agree before a model that passed the gate becomes champion."""

    approval: bool = Field(description="Whether anybody is asked; without it the gate alone decides.")
    approvers: tuple[str, ...] = Field(description="Users of Airflow, by id, one of whom has to agree.")
    deadline_hours: float = Field(
        gt=0.0, le=8760.0, description="Hours after which a question that nobody answered counts as rejected."
    )

    @model_validator(mode="after")
    def _somebody(self) -> PromotionConfig:
        if self.approval and not self.approvers:
            raise ValueError("approval needs at least one of approvers: otherwise every user of Airflow could agree")
        return self


class OfficersConfig(Contract):
    """That each agency is sent the plan of a retraining first, and how long its data officer is waited for."""

    deadline_hours: float = Field(
        gt=0.0,
        le=720.0,
        description="Hours after its start at which a run goes on without whose officer has not decided.",
    )
