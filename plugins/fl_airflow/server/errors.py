"""What can go wrong with the server, each with the way out in its message."""

from __future__ import annotations

from typing import ClassVar

from fl_tasks.contracts.errors import FLError


class ServerError(FLError):
    """The server cannot be started, reached or stopped; the message says what to do."""


class PostgresMissing(ServerError):
    """PostgreSQL's server programs are not on this machine, or not in the version that the cluster needs."""


class ApiError(ServerError):
    """Airflow's API could not be reached or refused a call.

    Attributes:
        status: The HTTP status; 0 if there was no answer.
    """

    retryable: ClassVar[bool] = True

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
