"""What became of the question whether a model that passed the gate may become champion."""

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
