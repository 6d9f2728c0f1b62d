"""What a running server says of itself: `server/state.json` below the home folder, written by its supervisor."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from fl_airflow.server.config import server_folder
from fl_airflow.server.processes import ProcessId
from fl_tasks.contracts.base import Contract, write_atomic


class PartState(Contract):
    """One part of the server, like the scheduler."""

    process: ProcessId | None = Field(description="its process; none while it is not running")
    starts: int = Field(ge=0, description="how often it was started")
    gave_up: bool = Field(description="it died too often and is left alone")


class ServerState(Contract):
    """The supervisor's word on the whole server."""

    schema_: Literal[1] = Field(alias="schema", description="version of this format")
    server_id: str = Field(description="stands in the environment of every process of this server")
    supervisor: ProcessId = Field(description="who starts, watches and stops the parts")
    phase: Literal["starting", "running", "stopping", "stopped", "failed"] = Field(description="where it is")
    message: str = Field(description="what it does now, or why it failed")
    parts: dict[str, PartState] = Field(description="by name")


def read_state(home: Path) -> ServerState | None:
    """Return what the last supervisor said; None if there never was one."""
    try:
        return ServerState.model_validate_json((server_folder(home) / "state.json").read_bytes())
    except FileNotFoundError:
        return None


def write_state(home: Path, state: ServerState) -> None:
    """Leave the supervisor's word."""
    write_atomic(server_folder(home) / "state.json", state.model_dump_json(by_alias=True).encode())
