"""Which huiliu a party of the exchange runs: a run needs the same one at all of them."""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata

from fl_tasks.exchange.errors import VersionMismatch
from fl_tasks.exchange.store import PROTOCOL

HEADER = "Huiliu-Version"
"""Where a request says which version has made it, as `own` writes it."""
_MOST_TEXT = 40


@lru_cache(maxsize=1)
def own() -> str:
    """Return this party's version and that of the exchange's interface: `0.1.0 (protocol 1)`."""
    return written(metadata.version("huiliu"), PROTOCOL)


def written(version: str, protocol: int) -> str:
    """Return a version as messages and the header have it."""
    return f"{version} (protocol {protocol})"


def check_same(theirs: str, who: str, here: str) -> None:
    """Hold another party's version against our own.

    Args:
        theirs: As `written` gives it.
        who: The other party, for the message.
        here: This one.

    Raises:
        VersionMismatch: If it is another one.
    """
    if theirs != own():
        raise VersionMismatch(
            f"{who} runs huiliu {theirs[:_MOST_TEXT]}, {here} {own()}: bring both to the same version, then "
            "`fl agency approve-code`"
        )
