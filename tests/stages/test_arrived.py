"""Messages of an exchange as a mapping that reads one file at a time."""

from __future__ import annotations

from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.stages.arrived import Arrived
from tests.secagg.flow import Flow


class Counting(FolderExchange):
    """The real store; counts what is read."""

    read = 0

    def get(self, name: str) -> bytes:
        self.read += 1
        return super().get(name)


def test_only_what_is_asked_for_is_read_and_strangers_are_passed_over(tmp_path):
    roster = Flow.of(4).roster
    exchange = Counting(tmp_path)
    for name in ("agency_000", "agency_002", "stranger"):
        exchange.put(f"r/1/up/{name}", name.encode())
    arrived = Arrived(exchange, roster, "r/1/up")
    assert list(arrived) == [0, 2]
    assert (len(arrived), 2 in arrived, 1 in arrived, exchange.read) == (2, True, False, 0)
    assert arrived[2] == b"agency_002"
    assert exchange.read == 1


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert not Arrived(FolderExchange(tmp_path), Flow.of(4).roster, "r/1/up")
