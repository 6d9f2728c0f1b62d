"""Messages of the exchange that are read when they are asked for, one at a time: an upload may be large."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fl_tasks.contracts.roster import Roster
from fl_tasks.exchange.store import Exchange


class Arrived(Mapping[int, bytes]):
    """id -> message, of the roster's agencies that have one in a folder of the exchange; nothing is kept."""

    def __init__(self, exchange: Exchange, roster: Roster, folder: str) -> None:
        there = set(exchange.names(folder))
        named = ((i, f"{folder}/{agency}") for i, agency in enumerate(roster.names))
        self._exchange = exchange
        self._names = {i: name for i, name in named if name in there}

    def __getitem__(self, member: int) -> bytes:
        return self._exchange.get(self._names[member])

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, member: object) -> bool:
        return member in self._names  # the default reads the message
