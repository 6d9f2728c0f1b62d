"""What `fl agency status` looks at: everything that a run needs; each line that is wrong says what to do."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from fl_tasks.agency import server as server_module
from fl_tasks.agency import status as status_module
from fl_tasks.contracts.connection import exchange_key_path
from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.admitted import admit as let_in
from fl_tasks.stages import enrol
from fl_tasks.stages.context import approved_roster_path, protocol_key_path
from fl_tasks.stages.installed_code import approval_path
from fl_tasks.stages.policy import policy_path
from tests.agency.conftest import Host
from tests.attacks.agency_site import AGENCIES, AGENCY, SCENARIO
from tests.daemon.serving import Served
from tests.exchange.federated_server import now

ROLES = f"policy, {SCENARIO}", f"roster, {SCENARIO}"


def wrong(host: Host, *words: object) -> dict[str, str]:
    """Look, which has to find something wrong; return what, and what is said of it."""
    said = host.agency("status", *words)
    assert said.code == 1
    found = dict(line.removeprefix("WRONG ").split(": ", 1) for line in said.out.splitlines() if line[:5] == "WRONG")
    assert f"AgencyNotReady: {AGENCY}: {len(found)} of these are wrong" in said.error
    return found


@pytest.fixture
def agency(coordinator, joined, admit, call, tmp_path):
    """An agency in which everything is as it should be, its daemon included."""
    admit(joined)
    joined.done("init", "--scenario", SCENARIO)
    for other in AGENCIES[1:]:  # on the coordinator's own machine
        enrol.init_agency(coordinator.home, joined.federation, SCENARIO, other)
    proposed = coordinator.fl("coordinator", "init", "--scenario", SCENARIO)
    joined.done("approve", proposed.last_word, "--scenario", SCENARIO)
    daemon = Served(joined.folder)
    daemon.start()
    yield joined
    daemon.end()


def test_everything_a_run_needs_is_looked_at(agency):
    said = agency.agency("status")
    assert said.code == 0, said.out
    looked = [line.removeprefix("ok    ").split(": ")[0] for line in said.out.splitlines()]
    assert looked == ["folder", "keys", "code", *ROLES, "server", "worker", "admission", "daemon"]


def open_folder(agency):
    agency.folder.chmod(0o755)


def open_key(agency):
    exchange_key_path(agency.folder).chmod(0o644)


def no_key(agency):
    exchange_key_path(agency.folder).unlink()


def other_protocol_key(agency):
    protocol_key_path(agency.folder).write_bytes(b"1" * 32)


def no_approved_code(agency):
    approval_path(agency.folder).unlink()


def no_policy(agency):
    policy_path(agency.folder).write_text(f"agency: {AGENCY}\nscenarios: {{}}\n")


def no_roster(agency):
    approved_roster_path(agency.folder, SCENARIO).unlink()


def waiting_keys(agency):
    agency.done("rotate")


def no_authority(agency):
    (agency.folder / "server-ca.pem").unlink()


def no_connection(agency):
    (agency.folder / "connection.yaml").write_text("exchange: nowhere\n")


@pytest.mark.parametrize(
    ("spoil", "what", "text"),
    [
        (open_folder, "folder", "has mode 0755, needed is 0700: chmod 0700"),
        (open_key, "keys", "others may read it: chmod 0600"),
        (no_key, "keys", "there is no key; run `fl agency init`"),
        (other_protocol_key, ROLES[1], "another protocol key than this agency's: the coordinator has to propose"),
        (no_approved_code, "code", "no code was approved"),
        (no_policy, ROLES[0], f"fl agency init --scenario {SCENARIO} --agency {AGENCY}"),
        (no_roster, ROLES[1], "run `fl agency approve HASH` first"),
        (waiting_keys, "keys", "hand card.json to the coordinator, then run `fl agency rotate` again"),
        (no_authority, "server", "cannot be read as PEM certificates; run `fl agency join` again"),
        (no_connection, "connection", "must be an address that begins with https://"),
    ],
)
def test_each_thing_that_is_wrong_is_told_with_what_to_do(agency, spoil, what, text):
    spoil(agency)
    assert text in wrong(agency)[what]


def test_a_revoked_agency_sees_it(agency, coordinator):
    coordinator.fl("coordinator", "revoke", AGENCY)
    found = wrong(agency)
    assert set(found) == {"admission"}
    assert "was taken back on" in found["admission"]


def test_an_expired_agency_sees_it(agency, coordinator):
    past = now() - dt.timedelta(days=2)
    card = enrol.load_card(agency.folder, AGENCY)
    let_in(coordinator.home, card, expires=past + dt.timedelta(days=1), now=past)
    assert f"the admission of {AGENCY} ended on" in wrong(agency)["admission"]


def test_a_server_that_is_gone_is_seen_and_what_lies_behind_it_is_not_looked_at(agency, gone):
    gone()
    found = wrong(agency)
    assert set(found) == {"server"}
    assert "cannot be reached" in found["server"]


def test_a_clock_that_is_off_is_seen(agency, monkeypatch):
    monkeypatch.setattr(server_module, "_now", lambda: now() + dt.timedelta(minutes=10))
    assert "clock is" in wrong(agency)["server"]


def test_a_worker_of_another_version_is_seen(agency, monkeypatch):
    found = status_module._version
    monkeypatch.setattr(status_module, "_version", lambda name: "5.0.0" if name.endswith("edge3") else found(name))
    said = wrong(agency)
    assert set(said) == {"worker"}
    assert said["worker"].startswith("edge_provider 5.0.0 here, ")


def test_a_daemon_that_does_not_answer_is_seen(agency, tmp_path):
    assert "no daemon answers; systemctl status its unit" in wrong(agency, "--socket-folder", tmp_path)["daemon"]


def test_an_agency_that_is_not_there_yet_is_told_how_to_begin(host):
    found = wrong(host)
    assert f"run `fl agency join --agency {AGENCY}`" in found["folder"]


def test_looking_changes_nothing(agency):
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in Home(agency.home.root).root.rglob("*")}

    before = files()
    agency.agency("status")
    assert files() == before
