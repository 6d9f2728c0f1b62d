"""What every adapter of the exchange does alike: a write-once store of named messages."""

from __future__ import annotations

import re
from typing import Protocol

from fl_tasks.contracts.errors import MissingInput
from fl_tasks.exchange.errors import ExchangeConflict, NameRefused

# A model of hundreds of millions of parameters; messages of the set-up and acks are kilobytes.
PROTOCOL = 1
"""Version of the federated server's interface: an agency and its coordinator need the same."""

MOST_BYTES = 2**31
_PART = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


class Exchange(Protocol):
    """A write-once store, as one party sees it."""

    def put(self, name: str, data: bytes) -> None:
        """Write a name once; writing the same content again is success.

        Raises:
            ExchangeConflict: If the name exists with other content.
        """

    def get(self, name: str, most: int = MOST_BYTES) -> bytes:
        """Read a name; raises MissingInput, since it may still come.

        Of a message that is longer than `most` bytes it gives one byte more than that: enough for whoever reads the
        message to refuse it, and no memory is spent on what anyone may have left there.
        """

    def find(self, name: str, most: int = MOST_BYTES) -> bytes | None:
        """Read a name as get does, or give None if it is not there."""

    def names(self, folder: str = "") -> list[str]:
        """List all names below a folder, sorted; a file whose name no party could have used is passed over."""


def name_parts(name: str) -> list[str]:
    """Return the parts of a name; raises NameRefused if a store must not have it."""
    if not is_name(name):
        raise NameRefused(f"{name[:200]!r} is no name of the exchange: lower-case letters, digits, _ . - and /")
    return name.split("/")


def is_name(name: str) -> bool:
    """Whether a party could have used a name."""
    return all(_PART.fullmatch(part) for part in name.split("/"))


def conflict(name: str) -> ExchangeConflict:
    """Return the error to raise where a name is there with other content."""
    return ExchangeConflict(
        f"{name} is in the exchange with other content: something sent twice under one name; nothing was replaced"
    )


def missing(name: str) -> MissingInput:
    """Return the error to raise where a name is not there."""
    return MissingInput(f"{name} is not in the exchange (yet): an earlier step did not leave it")
