"""The exchange never replaces anything, and readers never see half a file."""

from __future__ import annotations

import threading

import pytest

from fl_tasks.contracts.errors import MissingInput
from fl_tasks.exchange.folder import ExchangeConflict, FolderExchange


@pytest.fixture
def exchange(tmp_path) -> FolderExchange:
    return FolderExchange(tmp_path)


def test_the_same_content_again_is_success(exchange):
    exchange.put("r/1/up/a", b"x")
    exchange.put("r/1/up/a", b"x")
    assert exchange.get("r/1/up/a") == b"x"


def test_other_content_under_a_name_is_refused_and_nothing_replaced(exchange):
    exchange.put("r/1/up/a", b"x")
    with pytest.raises(ExchangeConflict, match="r/1/up/a"):
        exchange.put("r/1/up/a", b"y")
    assert exchange.get("r/1/up/a") == b"x"


def test_of_two_writers_at_one_time_exactly_one_wins(exchange):
    outcomes = []
    start = threading.Barrier(8)

    def write(i: int) -> None:
        start.wait()
        try:
            exchange.put("manifest", bytes([i]) * 100_000)
            outcomes.append(i)
        except ExchangeConflict:
            pass

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1
    assert exchange.get("manifest") == bytes([outcomes[0]]) * 100_000


def test_what_is_not_there_may_still_come(exchange):
    with pytest.raises(MissingInput, match="setup/list"):
        exchange.get("setup/list")
    assert exchange.find("setup/list") is None


def test_listing_shows_whole_files_only(exchange, tmp_path):
    exchange.put("checks/a", b"x")
    (tmp_path / "checks" / ".put-half").write_bytes(b"x")
    assert exchange.names() == ["checks/a"]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a//b", "", "a/../b", "A", "a/.b", "a\0b"])
def test_a_name_that_leaves_the_folder_is_refused(exchange, name):
    with pytest.raises(ExchangeConflict):
        exchange.put(name, b"x")


def test_a_file_of_a_strange_name_is_passed_over_and_does_not_stop_a_listing(tmp_path):
    exchange = FolderExchange(tmp_path)
    exchange.put("checks/east", b"x")
    (tmp_path / "checks" / "README").write_text("somebody's")
    (tmp_path / "checks" / ".put-half").write_bytes(b"")
    assert exchange.names() == ["checks/east"]


def test_no_folder_of_the_exchange_can_be_listed_by_others(tmp_path):
    FolderExchange(tmp_path / "home" / "exchange" / "run").put("setup/keys/east", b"x")
    for folder in ("home", "home/exchange", "home/exchange/run/setup"):
        assert (tmp_path / folder).stat().st_mode & 0o066 == 0
    assert (tmp_path / "home/exchange/run/setup/keys").stat().st_mode & 0o777 == 0o700


def test_of_a_file_that_is_too_long_one_byte_too_many_is_read(tmp_path):
    """Enough to refuse it; a sparse file of a terabyte costs its writer nothing."""
    exchange = FolderExchange(tmp_path)
    exchange.put("keys/a", b"12345")
    assert exchange.get("keys/a", 5) == exchange.find("keys/a", 5) == b"12345"
    assert exchange.get("keys/a", 3) == exchange.find("keys/a", 3) == b"1234"
    with (tmp_path / "keys" / "b").open("wb") as file:
        file.truncate(2**40)
    assert len(exchange.get("keys/b", 100)) == 101
