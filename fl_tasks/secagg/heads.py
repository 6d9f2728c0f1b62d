"""The journal's head, posted beside every message: an exchange that is write-once remembers for the agency.

An agency whose journal and second head were both restored from a backup finds, as soon as it starts, a head of its
own that its journal does not hold, and refuses. A coordinator that hides the posted heads takes this away; see the
threat model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from fl_tasks.secagg.agency import Party
from fl_tasks.secagg.errors import JournalRolledBack, ProtocolError
from fl_tasks.secagg.journal import Entry, Journal
from fl_tasks.secagg.wire import HASH_BYTES, SESSION_BYTES, Message, Reader, u16, u32


@dataclass(frozen=True)
class Head(Message):
    """After so many entries the sender's journal had this head."""

    LABEL, TYPE = "head", 12
    session: bytes
    sender: int
    number: int
    head: bytes

    def fields(self) -> bytes:
        """Session, id, number of entries, SHA-256 of the last."""
        return self.session + u16(self.sender) + u32(self.number) + self.head

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """No list."""
        return cls(reader.take(SESSION_BYTES), reader.number(2), reader.number(4), reader.take(HASH_BYTES))


def make_head(party: Party, entry: Entry) -> bytes:
    """Return the signed head as of one entry; the same entry gives the same bytes."""
    return Head(party.setting.session, party.me, entry.number, bytes.fromhex(entry.sha256)).encode(party.signing)


def check_posted(party: Party, journal: Journal, posted: Iterable[bytes]) -> None:
    """Check that the journal holds every head that this agency posted in this session.

    Args:
        party: This agency.
        journal: Its journal.
        posted: What lies under this agency's head names; what it did not sign itself is passed over, or anyone
            could stop it.

    Raises:
        JournalRolledBack: If a posted head is not in the chain.
    """
    for data in posted:
        try:
            head = Head.decode(data, lambda _: party.setting.member_key(party.me), 0)
        except ProtocolError:
            continue
        if head.session == party.setting.session and not journal.holds(head.number, head.head.hex()):
            raise JournalRolledBack(
                f"the journal does not hold entry {head.number}, whose head this agency has posted: journal and head "
                "were both restored from a backup, or forked. Nothing more is sent in this session; start a new run"
            )
