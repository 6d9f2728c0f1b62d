"""What an agency says of its newest data between two retrainings, and what it remembers to say it."""

from __future__ import annotations

from pydantic import Field

from fl_tasks.contracts.base import Contract, Name, RunId, Sha256
from fl_tasks.contracts.data import Accepted

MOST_SCORE = 2.0
"""A larger population stability index is told as this: how strange the data are beyond it is nobody else's business."""


class WatchBody(Contract):
    """One agency's word on how far its newest data are from those that the champion was trained on."""

    run_id: RunId
    agency: Name
    model_sha256: Sha256 = Field(description="The champion.")
    moved: bool = Field(description="Whether the index is over the scenario's limit.")
    score: float | None = Field(
        default=None,
        ge=0.0,
        le=MOST_SCORE,
        description="The index, to two places; null where the agency's policy keeps it at home.",
    )


class TrainedOn(Contract):
    """The distribution of the data that an agency gave to the champion's training; it never leaves the agency."""

    model_sha256: Sha256 = Field(description="The champion.")
    accepted: Accepted = Field(description="Of the run that trained it, without what that was compared with.")
