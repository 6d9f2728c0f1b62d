"""Who is champion: a chain of records, each signed by the coordinator and written once under its number."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from fl_tasks.contracts.base import Contract, Name, RunId, Sha256
from fl_tasks.contracts.jobs import ModelSpec


class ChampionBody(Contract):
    """One change of the champion. The record of the highest number says who it is today.

    An agency accepts a record only with the coordinator's signature, and never one with a lower number than it has
    already used.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    number: int = Field(ge=1, description="Place in the chain, from 1; also the record's name in the exchange.")
    action: Literal["promote", "rollback"]
    scenario: Name
    version: int = Field(ge=1, description="Registry version that is champion from here on.")
    model_sha256: Sha256 = Field(description="Its weights lie beside the chain as models/<sha256>.npz.")
    model: ModelSpec = Field(description="What is needed to build it.")
    run_id: RunId = Field(description="Run that trained it.")
    data_interval: tuple[dt.datetime, dt.datetime] = Field(description="Of that run.")
    decided_at: dt.datetime
    rollback_run_id: RunId | None = Field(
        default=None, description="Run that restored it; null for a promotion, which run_id itself decided."
    )
