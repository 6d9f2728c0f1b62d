"""Who may write and read what in the exchange: one table of all names, held by the federated server.

In a pattern `<agency>` is whoever writes, by its own name only; a name without it is the coordinator's. Readers:

coordinator   the coordinator alone
sender        the agency that wrote it, and the coordinator
addressee     the agency that `<holder>` names, and the coordinator, which stores it
members       every agency that takes part in the scenario, and the coordinator
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.errors import NameRefused, NotYours, TooLarge
from fl_tasks.exchange.store import MOST_BYTES, name_parts

Kind = Literal["runs", "rosters", "registry"]
Readers = Literal["coordinator", "sender", "addressee", "members"]

_RUN_ID = re.compile(r"(?:[a-z]+\.)?[a-z][a-z0-9_]*__[A-Za-z0-9_.~:+-]+")
_SCENARIO = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MOST_RUN_ID = 200
_PLACEHOLDERS = {
    "<agency>": "(?P<agency>[a-z][a-z0-9_]{0,62})",
    "<holder>": "(?P<holder>[a-z][a-z0-9_]{0,62})",
    "<round>": "[1-9][0-9]{0,2}",
    "<number>": "(?:0|[1-9][0-9]{0,8})",
    "<mark>": "[0-9a-f]{12}",
    "<sha256>": "[0-9a-f]{64}",
}

# Cards, checks and other records; messages of the set-up at 200 agencies and 250 rounds; models and updates.
_RECORD, _MESSAGE, _MODEL = 2**20, 16 * 2**20, MOST_BYTES


@dataclass(frozen=True)
class Space:
    """One write-once store: of a run, of a scenario's rosters, or of its registry.

    Attributes:
        kind: Which of them.
        name: The run's id, or the scenario.
    """

    kind: Kind
    name: str

    def __post_init__(self) -> None:
        pattern = _RUN_ID if self.kind == "runs" else _SCENARIO
        if self.kind not in get_args(Kind) or not pattern.fullmatch(self.name) or len(self.name) > _MOST_RUN_ID:
            raise NameRefused(
                f"{self.kind[:20]!r} {self.name[:_MOST_RUN_ID]!r} is no space of the exchange: needed is runs with "
                "<scenario>__<Airflow run id>, or rosters or registry with a scenario"
            )

    @property
    def label(self) -> str:
        """Its place below the exchange, for logs and URLs."""
        return f"{self.kind}/{self.name}"

    def folder(self, home: Home) -> Path:
        """The folder in which the coordinator keeps it."""
        folders = {"runs": home.exchange, "rosters": home.roster, "registry": home.registry}
        return folders[self.kind](self.name)


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    Attributes:
        kind: Of the spaces that have such names.
        pattern: Of the names, with placeholders.
        readers: Who may read them.
        most: Longest message, bytes.
        what: What the message is.
    """

    kind: Kind
    pattern: str
    readers: Readers
    most: int
    what: str

    @property
    def by_agency(self) -> bool:
        """Whether an agency writes it, not the coordinator."""
        return "<agency>" in self.pattern

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """The pattern as a regular expression of whole names."""
        parts = re.split(r"(<[a-z0-9]+>)", self.pattern)
        return re.compile("".join(_PLACEHOLDERS.get(part) or re.escape(part) for part in parts))


RULES = (
    Rule("runs", "plan/code", "members", _MESSAGE, "all code that may run at an agency"),
    Rule("runs", "plan/to/<holder>", "addressee", _RECORD, "what the run wants of the agency"),
    Rule("runs", "plan/answer/<agency>", "coordinator", _RECORD, "what was decided on its plan"),
    Rule("runs", "checks/<agency>", "coordinator", _RECORD, "word on its data"),
    Rule("runs", "checks/<agency>.failed-<mark>", "coordinator", _RECORD, "word on its data, which failed"),
    Rule("runs", "setup/cohort", "members", _MESSAGE, "who is invited"),
    Rule("runs", "setup/keys/<agency>", "members", _MESSAGE, "public keys"),
    Rule("runs", "setup/list", "members", _MESSAGE, "whose keys count"),
    Rule("runs", "setup/shares/<agency>/<holder>", "addressee", _MESSAGE, "encrypted shares"),
    Rule("runs", "setup/ready/<agency>", "members", _MESSAGE, "whose shares it holds"),
    Rule("runs", "setup/close", "members", _MESSAGE, "the closed set"),
    Rule("runs", "head/<agency>/<number>", "sender", _RECORD, "head of its journal"),
    Rule("runs", "r/<round>/model", "members", _RECORD, "signed hash of the round's model"),
    Rule("runs", "r/<round>/model.npz", "members", _MODEL, "the round's model"),
    Rule("runs", "r/<round>/up/<agency>", "coordinator", _MODEL, "masked update"),
    Rule("runs", "r/<round>/manifest", "members", _MESSAGE, "whose updates are summed"),
    Rule("runs", "r/<round>/burnt", "members", _MESSAGE, "verdict of a round that is given up"),
    Rule("runs", "r/<round>/ack/<agency>", "members", _RECORD, "word on the manifest"),
    Rule("runs", "r/<round>/reveal/<agency>", "coordinator", _MESSAGE, "shares that open the sum"),
    Rule("runs", "final/model", "members", _RECORD, "signed hash of the final model"),
    Rule("runs", "final/model.npz", "members", _MODEL, "the final model"),
    Rule("runs", "evaluation/<agency>", "sender", _MESSAGE, "figures of the final model"),
    Rule("runs", "request", "members", _MESSAGE, "what a survey sums"),
    Rule("runs", "preparation", "members", _MESSAGE, "what a survey ended with"),
    Rule("runs", "watch/<agency>", "sender", _RECORD, "word on how far its data have moved"),
    Rule("rosters", "cards/<agency>.json", "sender", _RECORD, "public keys of the agency"),
    Rule("rosters", "cards/<agency>-<number>.json", "sender", _RECORD, "the same after its keys changed"),
    Rule("rosters", "rosters/<number>.json", "members", _RECORD, "proposed roster"),
    Rule("rosters", "approvals/<sha256>/<agency>", "members", _RECORD, "word on a roster"),
    Rule("registry", "champions/<number>.json", "members", _RECORD, "record of a champion"),
    Rule("registry", "models/<sha256>.npz", "members", _MODEL, "a promoted model"),
)


class Named(NamedTuple):
    """A name, with the rule that it falls under and whom it names."""

    rule: Rule
    agency: str | None
    holder: str | None


def named(space: Space, name: str) -> Named:
    """Return the rule of a name; raises NameRefused if the space has no such names."""
    name_parts(name)
    for rule in RULES:
        match = rule.expression.fullmatch(name) if rule.kind == space.kind else None
        if match is not None:
            found = match.groupdict()
            return Named(rule, found.get("agency"), found.get("holder"))
    raise NameRefused(f"{space.kind} have no name like {name!r}: the client may be of another version than the server")


def check_write(space: Space, name: str, agency: str | None, size: int) -> None:
    """Hold a write against the table, before a byte is stored.

    Args:
        space: Where.
        name: Of the message.
        agency: Who writes; None for the coordinator.
        size: Of the message, bytes.

    Raises:
        NameRefused: If the space has no such names.
        NotYours: If another party writes this name.
        TooLarge: If the message is longer than the name admits.
    """
    found = named(space, name)
    if found.agency != agency:
        raise NotYours(
            f"{space.label}: {name} is written by {found.agency or 'the coordinator'} alone, not by "
            f"{agency or 'the coordinator'}; nothing was stored"
        )
    if size > found.rule.most:
        raise TooLarge(
            f"{space.label}: {name} may have {found.rule.most} bytes, announced are {size}; nothing was stored"
        )


def check_read(space: Space, name: str, agency: str | None) -> None:
    """Hold a read against the table; raises NameRefused or NotYours."""
    if not may_read(named(space, name), agency):
        raise NotYours(f"{space.label}: {name} is not addressed to {agency}; it was not handed out")


def may_read(found: Named, agency: str | None) -> bool:
    """Say whether a party may read a name; None stands for the coordinator."""
    if agency is None:
        return True
    to = {"coordinator": None, "sender": found.agency, "addressee": found.holder, "members": agency}
    return to[found.rule.readers] == agency
