"""What an officer reads: the plan, what its code changes, mock data, and the digest at the end."""

from __future__ import annotations

from fl_tasks.approvals.places import identity, syftbox
from fl_tasks.officer.difference import visible
from tests.officer.desk_site import AGENCY, APRIL, CODE, MARCH, SCENARIO

CHANGED = {**CODE, "fl_tasks/train.py": b"clip = 9.0\nrounds = 3\n", "fl_tasks/new.py": b"x = 1\n"}


def test_the_first_plan_is_shown_with_counts_and_all_files_and_ends_with_its_digest(received):
    shown = received.done("show", MARCH)
    assert "CODE: nothing was approved before" in shown
    assert "fl_tasks: 2 files, 2 lines, 27 bytes" in shown
    listed = received.folder / "texts" / f"{MARCH}.files"
    assert f"all files: {listed}" in shown
    assert [line.split("  ")[1] for line in listed.read_text().splitlines()] == sorted(CODE)
    digest = received.plan(MARCH).sha256
    assert shown.splitlines()[-2:] == [f"DIGEST {digest}", f"  fl officer approve {MARCH} --digest {digest}"]


def test_what_an_approval_would_open_is_told(received):
    shown = received.done("show", MARCH).split("AN APPROVAL OPENS")[1]
    for told in (
        "source incoming/speed.csv.gz",
        "rows of 3 months before 2012-04-01 00:00 UTC",
        "columns as time: timestamp",
        "columns as value: *",
        "model gru, 5 rounds at most, updates clipped to 1",
        "least_agencies = 3",
    ):
        assert told in shown


def test_a_further_plan_is_shown_beside_the_one_approved_last(received):
    received.deliver(APRIL, CHANGED, rounds=6)
    received.done("receive")
    received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    shown = received.done("show", APRIL)
    assert f"CODE beside that of run {MARCH}, approved last: 1 files new, 0 gone, 1 changed, 2 the same" in shown
    assert "--- approved/fl_tasks/train.py\n+++ plan/fl_tasks/train.py\n" in shown
    assert "\n-clip = 1.0\n+clip = 9.0\n" in shown
    assert "# new file fl_tasks/new.py" in shown
    assert f"terms that differ from those approved for run {MARCH}: code_sha256, rounds" in shown
    assert "rounds: 5 -> 6" in shown

    # The last approved one of the same scenario counts, though one of another scenario came later.
    medical = "medical__scheduled__2012-04-01T00:00:00+00:00"
    other = received.deliver(medical, scenario="medical")
    received.done("receive")
    assert f"CODE beside that of run {MARCH}" in received.done("show", medical)
    assert "terms that differ" not in received.done("show", medical)
    received.done("approve", medical, "--digest", other.sha256)
    assert f"CODE beside that of run {MARCH}" in received.done("show", APRIL)
    received.done("revoke", received.decisions()[-1].id, "--reason", "no")

    # A job that was altered after its approval would show a difference from what nobody approved.
    path = received.inbox(MARCH) / "code" / "fl_tasks" / "train.py"
    data = path.read_bytes()
    path.write_bytes(b"clip = 9.0\nrounds = 3\n")
    assert "nothing was approved before" in received.done("show", APRIL)
    path.write_bytes(data)

    received.done("revoke", received.decisions()[0].id, "--reason", "mistake")
    assert "nothing was approved before" in received.done("show", APRIL)


def test_a_long_difference_goes_to_a_file_that_is_named(received):
    received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    received.deliver(APRIL, {**CODE, "fl_tasks/long.py": b"".join(b"x%d = 1\n" % i for i in range(300))})
    shown = received.done("show", APRIL)
    path = received.folder / "texts" / f"{APRIL}.diff"
    assert f"lines differ: {path}" in shown
    assert "+x299 = 1" not in shown
    assert "+x299 = 1" in path.read_text()


def test_code_cannot_move_the_cursor_or_turn_the_reading_direction(received):
    received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    received.deliver(APRIL, {**CODE, "fl_tasks/train.py": "clip = 9.0 \x1b[1A\x1b[2K\r # \u202e\n".encode()})
    shown = received.done("show", APRIL)
    assert not {"\x1b", "\r", "\u202e"} & set(shown)
    assert r"+clip = 9.0 \x1b[1A\x1b[2K\r # \u202e" in shown
    assert visible("plan\t中文") == "plan\t中文"


def test_a_registered_data_set_has_the_generators_mock_and_no_copy_of_the_data(received):
    data = received.home.agency(AGENCY) / "incoming" / "speed_5min.csv.gz"
    data.parent.mkdir()
    data.write_bytes(b"canary 4711")
    for _ in range(2):
        assert "registered with 1 mock files" in received.done("register", "--scenario", SCENARIO)
    private = syftbox(received.folder) / identity(AGENCY) / "private"
    assert sorted(path.name for path in private.rglob("*") if path.is_file()) == [
        "private_metadata.yaml",
        "syft.pub.yaml",
        "where.json",
    ]
    assert all(b"canary" not in path.read_bytes() for path in received.folder.rglob("*") if path.is_file())
    assert str(received.home.agency(AGENCY)) in next(private.rglob("where.json")).read_text()
    mock = received.done("show", MARCH).split("MOCK DATA")[1]
    assert "timestamp," in mock
    assert "2012-03-01" in mock


def test_mock_files_of_ones_own_take_the_generators_place(received, tmp_path):
    said = received.fl("register", "--scenario", SCENARIO, "--mock", tmp_path / "none")
    assert (said.code, "no folder with mock files" in said.error) == (10, True)
    folder = tmp_path / "mock"
    folder.mkdir()
    (folder / "own.csv").write_text("time,speed\n1,2\n")
    received.done("register", "--scenario", SCENARIO, "--mock", folder)
    assert "own.csv\n    time,speed\n    1,2\n" in received.done("show", MARCH)


def test_without_a_registered_data_set_show_says_how_to_make_one(received):
    assert f"fl officer register --scenario {SCENARIO}" in received.done("show", MARCH)
