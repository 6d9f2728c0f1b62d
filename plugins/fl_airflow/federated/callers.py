"""Who sends a request, and whether the agency takes part in what it asks for."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from pathlib import Path

from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import Roster
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.admitted import check_token
from fl_tasks.exchange.errors import NotYours, TokenRefused
from fl_tasks.exchange.tokens import EXCHANGE_AUDIENCE
from fl_tasks.stages.context import approved_roster_path


def identify(home: Home, authorization: str | None) -> str:
    """Return the agency whose exchange key signed a request; raises TokenRefused and its kin.

    Args:
        home: The coordinator's installation.
        authorization: The request's header.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        raise TokenRefused("the request has no token: needed is `Authorization: Bearer` with the agency's")
    now = dt.datetime.now(dt.UTC)
    return check_token(home, token, purpose="exchange", audience=EXCHANGE_AUDIENCE, now=now).card.name


def check_takes_part(home: Home, space: Space, agency: str) -> None:
    """Let only the agencies of a scenario's roster get at its runs and its registry.

    Rosters are open to everyone who is admitted: an agency shows its card before it is in any.

    Raises:
        NotYours: If the agency is not in the roster that the coordinator approved.
    """
    if space.kind == "rosters":
        return
    path = next((path for path in _rosters(home, space) if path.exists()), None)
    if path is None or agency not in _names(path, path.stat().st_mtime_ns):
        raise NotYours(f"{space.label}: {agency} is not in the scenario's roster; the coordinator can propose another")


def _rosters(home: Home, space: Space) -> list[Path]:
    """Where the roster of a space's scenario may lie: in a run's id the scenario ends at a double underscore."""
    if space.kind == "registry":
        return [approved_roster_path(home.coordinator, space.name)]
    name = space.name.partition(".")[2] if re.match(r"[a-z]+\.", space.name) else space.name
    ends = [match.start() for match in re.finditer("(?=__)", name)]
    return [approved_roster_path(home.coordinator, name[:end]) for end in reversed(ends)]


@lru_cache(maxsize=64)
def _names(path: Path, _changed: int) -> frozenset[str]:
    return frozenset(Roster.model_validate_json(path.read_bytes()).names)
