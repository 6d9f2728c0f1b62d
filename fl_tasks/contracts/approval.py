"""Who is asked: a person before a promotion, and the agencies' data officers before any data are opened."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from fl_tasks.contracts.base import Contract


class Approval(Contract):
    """A person's answer, as the scheduler recorded it; nobody's, once the time to answer is over."""

    answer: Literal["approved", "rejected", "overdue"]
    by: str | None = Field(default=None, max_length=100, description="Who answered, by the name in Airflow.")
    at: dt.datetime = Field(description="When, with the UTC offset.")


class OfficersConfig(Contract):
    """That each agency is sent the plan of a retraining first, and how long its data officer is waited for."""

    deadline_hours: float = Field(
        gt=0.0,
        le=720.0,
        description="Hours after which a run goes on without the agencies whose officer has not decided.",
    )
