"""A coordinator that uses Airflow's own means against an agency: a retry, a cleared task, a backfill.

A whole server with scheduler and LocalExecutor runs the real DAG with the real stages; only training is a stand-in, so
that a repeated one gives another delta. The exchange is the coordinator's: it keeps every version of every message,
and replaces what it likes. Each attack is shown with the check that stops it taken out, then refused.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
import time
from pathlib import Path

import fl_airflow
import numpy as np
import pytest
from fl_airflow.server.errors import PostgresMissing
from fl_airflow.server.postgres import binaries

import fl_tasks
from fl_tasks.contracts.report import RoundRecord
from fl_tasks.contracts.roster import Roster
from fl_tasks.contracts.tensors import flatten, load_tensors
from fl_tasks.secagg import names
from fl_tasks.secagg.agency import public_key, seed_hash
from fl_tasks.secagg.messages import Keys, Manifest, Reveal, Upload
from fl_tasks.secagg.session import Setting
from fl_tasks.secagg.shamir import combine, lagrange_weights
from fl_tasks.stages.context import approved_roster_path, load_key, protocol_key_path
from tests.attacks.learning_stand_in import SIZE
from tests.faults.faulty_run import DAG, FaultyRun, change_scenario, copy_dags, found, small
from tests.server.airflow_server import OVER, AirflowServer, reachable_folder
from tests.stages.federation_run import AGENCIES, SCENARIO

pytestmark = pytest.mark.timeout(1200)
HERE = Path(__file__).parent
A, B, C, D = AGENCIES
END = "2012-04-01"
THREE = (A, B, C)
ENDED = (*OVER, "skipped", "upstream_failed")
STAYS = 1e-3  # of a delta: rounding and float32


def two_rounds(config) -> None:
    """Two rounds on a schedule that a backfill can reach; what the schedule itself starts does not hold it up."""
    small(config)
    config["rounds"] = {"wanted": 2, "spare": 0}
    config["schedule"] |= {"start_date": dt.date(2012, 3, 1), "catchup": False, "max_active_runs": 3}


class Place:
    """The server, and what the coordinator orders and reads."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        dags = copy_dags(folder)
        change_scenario(dags, SCENARIO, two_rounds)
        found(self.home, dags, SCENARIO)
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{HERE / "learning_stand_in.py"}" "$@"\n')
        python.chmod(0o755)
        env = {"HUILIU_FL_PYTHON": str(python), "PYTHONPATH": f"{HERE / 'taken_out'}:{':'.join(code_folders())}"}
        self.server = AirflowServer(self.home, dags, env)
        self.roster = Roster.model_validate_json(approved_roster_path(self.home / "coordinator", SCENARIO).read_bytes())

    def order(self, **orders) -> None:
        """Say what crashes and which checks are out from now on; versions are noted in any case."""
        (self.home / "orders.json").write_text(json.dumps({"notebook": True, **orders}))

    def versions(self, run: FaultyRun, name: str) -> list[bytes]:
        """All that was ever put into the exchange under a name."""
        return [path.read_bytes() for path in sorted((self.home / "notebook" / run.run_id / name).iterdir())]

    def refusals(self, agency: str) -> list[tuple[str, str]]:
        path = self.home / "agencies" / agency / "secagg" / SCENARIO / "journal.jsonl"
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        return [(entry["facts"]["step"], entry["facts"]["code"]) for entry in entries if entry["kind"] == "refused"]

    def sent(self, run: FaultyRun) -> dict[str, list[bytes]]:
        """Every version of every message; the heads of journals, which grow, are no part of the protocol's rounds."""
        folder = self.home / "notebook" / run.run_id
        found = {path.parent.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        return {name: self.versions(run, name) for name in found if not name.startswith("head/")}

    def clear(self, run: FaultyRun, *tasks: str) -> dict[str, str]:
        """Clear these tasks alone, at once, and return the states in which they ended."""
        before = self.server.task_instances(DAG, run.id)
        self.server.clear(DAG, run.id, list(tasks), downstream=False)

        def states():
            now = self.server.task_instances(DAG, run.id)
            over = [now[t]["state"] in ENDED and now[t]["start_date"] != before[t]["start_date"] for t in tasks]
            return all(over) and {task: now[task]["state"] for task in tasks}

        ended = wait_for(states)
        # A clear while the scheduler is ending the run would be overwritten by it.
        self.server.wait(DAG, run.id)
        return ended


def code_folders() -> list[str]:
    """Where the code under test lies, for processes whose PYTHONPATH is ours."""
    return [str(Path(package.__file__).parents[1]) for package in (fl_tasks, fl_airflow)]


def wait_for(what, seconds: float = 150.0):
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s"
        time.sleep(0.3)
    return value


@pytest.fixture(scope="module")
def place():
    try:
        binaries()
    except PostgresMissing as error:
        pytest.skip(str(error))
    with reachable_folder() as folder:
        place = Place(folder)
        place.order()
        try:
            place.server.start()
            yield place
        finally:
            place.server.stop()


@pytest.fixture(scope="module")
def run(place):
    """One whole run: A's training crashes after its upload in round 1, B's in round 2, where rule 1 is taken out.

    The secrets of round 1 are copied before their end: what a backup of the agency's disk would hold.
    """
    place.order(crash=[f"{A}/train-1", f"{B}/train-2"], out={f"{B}/train-2": ["resend"]})
    run = FaultyRun(place.server, place.home, END)
    for other in place.server.runs(DAG):
        if other["dag_run_id"] != run.id:
            place.server.give_up(DAG, other["dag_run_id"])  # the month that has just ended, for which there are no data
    run.until_sent("setup/close")
    for secret in vaults(place):
        shutil.copy2(secret, place.home / f"backup-{secret.parents[3].name}-{secret.name}")
    run.end()
    place.order()
    return run


def vaults(place: Place) -> list[Path]:
    return sorted((place.home / "agencies").glob(f"*/secagg/{SCENARIO}/*/round-1.*"))


def restore_backup(place: Place, run: FaultyRun) -> None:
    cohort = json.loads((run.exchange / names.COHORT).read_bytes())["body"]
    for path in place.home.glob("backup-*"):
        _, agency, name = path.name.split("-", 2)
        shutil.copy2(path, place.home / "agencies" / agency / "secagg" / SCENARIO / cohort["session"] / name)


def payload(data: bytes) -> np.ndarray:
    return np.frombuffer(data[Upload.HEAD_BYTES :], "<u4")


def difference(versions: list[bytes]) -> np.ndarray:
    """What two payloads under one name tell: both masks are the same, so that nothing but updates is left."""
    one, other = (payload(data) for data in versions)
    return (one - other).astype(np.int32).astype(np.float64)


def told_apart(place: Place, run: FaultyRun, agency: str, round_: int) -> None:
    """The difference of an agency's two uploads is small: two deltas, and no mask."""
    versions = place.versions(run, names.upload(round_, agency))
    assert len(versions) == 2
    values = difference(versions)[:SIZE]
    # A masked difference would be uniform: its mean magnitude a quarter of the ring, 2^30.
    assert 0 < np.abs(values).mean() < 2**26


# --- (a) a retry


def test_a_retry_after_a_crash_trains_anew_and_leaks_its_difference_shown(place, run):
    assert run.tasks()[f"round_02.train.{B}"]["try_number"] == 2
    told_apart(place, run, B, 2)


def test_a_retry_after_a_crash_sends_the_same_bytes_refused(place, run):
    assert run.tasks()[f"round_01.train.{A}"]["try_number"] == 2
    assert len(place.versions(run, names.upload(1, A))) == 1
    changed = [name for name, versions in place.sent(run).items() if len(versions) > 1]
    assert changed == [names.upload(2, B)]


# --- (b) tasks of a round that is over are cleared


def test_cleared_tasks_of_a_finished_round_send_the_same_bytes_refused(place, run):
    before = place.sent(run)
    states = place.clear(run, *(f"round_01.{stage}.{B}" for stage in ("train", "ack", "reveal")))
    assert set(states.values()) == {"success"}
    assert place.sent(run) == before


def other_manifest(place: Place, run: FaultyRun) -> Manifest:
    """The coordinator signs a second manifest of round 1, without D, and shows it in place of the first."""
    key = load_key(protocol_key_path(place.home / "coordinator"))
    path = run.exchange / names.manifest(1)
    first = Manifest.decode(
        place.versions(run, names.manifest(1))[0], lambda _: key.public_key().public_bytes_raw(), len(AGENCIES)
    )
    path.write_bytes(Manifest(first.header, first.members[:3]).encode(key))
    return first


def test_another_manifest_in_a_finished_round_refused(place, run):
    other_manifest(place, run)
    before = place.sent(run)
    for stage in ("reveal", "ack"):  # after a failed ack Airflow itself would not start the reveal
        assert set(place.clear(run, f"round_01.{stage}.{B}").values()) == {"failed"}
    assert place.refusals(B)[-2:] == [("reveal-1", "ManifestConflict"), ("ack-1", "ManifestConflict")]
    assert place.sent(run) == before


def test_cleared_tasks_of_a_finished_round_hand_out_an_agency_shown(place, run):
    """Both secrets of D in round 1, by which its upload opens; and a second upload of B."""
    other_manifest(place, run)
    restore_backup(place, run)
    steps = (("train", (B,)), ("ack", THREE), ("reveal", THREE))
    out = {f"{agency}/{stage}-1": ["resend", "once", "forget"] for stage, agencies in steps for agency in agencies}
    place.order(out=out)
    states = {}
    for stage, agencies in steps:
        states |= place.clear(run, *(f"round_01.{stage}.{agency}" for agency in agencies))
    place.order()
    assert set(states.values()) == {"success"}
    told_apart(place, run, B, 1)
    cohort = json.loads((run.exchange / names.COHORT).read_bytes())["body"]
    setting = Setting(place.roster, bytes.fromhex(cohort["session"]))
    keys = Keys.decode((run.exchange / names.keys(D)).read_bytes(), lambda m: setting.member_key(m.sender), 2)
    secrets = []
    for which in range(2):
        shares = {}
        for holder, agency in enumerate(THREE):
            both = [
                Reveal.decode(data, lambda m: setting.member_key(m.sender), len(AGENCIES)).shares[3]
                for data in place.versions(run, names.reveal(1, agency))
            ]
            first = (run.exchange / names.reveal(1, agency)).read_bytes()
            newest = Reveal.decode(first, lambda m: setting.member_key(m.sender), len(AGENCIES)).shares[3]
            assert len(both) == 2
            (older,) = (share for share in both if share != newest)
            shares[holder + 1] = (older, newest)[which]
        weights = dict(zip(shares, lagrange_weights(list(shares)), strict=True))
        secrets.append(combine(shares, weights))
    b, k = secrets
    assert seed_hash(setting, 3, 1, b) == keys.seed_hashes[0]
    assert public_key(k) == keys.round_keys[0]


# --- (c) a backfill of the same month, without D


@pytest.fixture(scope="module")
def backfill(place, run):
    """Airflow's own backfill of the month that the run was on, with three of its four agencies; red at its acks."""
    place.order()
    before = {known["dag_run_id"] for known in place.server.runs(DAG)}
    body = {
        "dag_id": DAG,
        "from_date": "2012-03-01T00:00:00-08:00",
        "to_date": "2012-03-02T00:00:00-08:00",
        "dag_run_conf": {"agencies": list(THREE), "rounds": 1},
    }
    place.server.api.call("POST", "/backfills", body)
    (made,) = wait_for(lambda: [r for r in place.server.runs(DAG) if r["dag_run_id"] not in before])
    again = FaultyRun.of(place.server, place.home, made["dag_run_id"])
    assert made["run_type"] == "backfill"
    again.end("failed")
    return again


def test_a_backfill_with_other_survivors_under_one_model_refused(place, run, backfill):
    assert (backfill.exchange / "r/1/model.npz").read_bytes() == (run.exchange / "r/1/model.npz").read_bytes()
    assert (backfill.exchange / names.manifest(1)).exists()
    for agency in THREE:
        assert ("ack-1", "DifferencingRefused") in place.refusals(agency)
        assert not (backfill.exchange / names.ack(1, agency)).exists()
    assert backfill.tasks()["round_01.aggregate"]["state"] in ("upstream_failed", "failed", "skipped")


def test_a_backfill_with_other_survivors_under_one_model_shown(place, run, backfill):
    """The difference of the two sums is D's delta."""
    place.order(out={f"{agency}/ack-1": ["survivors"] for agency in THREE})
    place.server.clear(DAG, backfill.id, [f"round_01.ack.{agency}" for agency in THREE])
    wait_for((place.home / "coordinator" / "runs" / backfill.run_id / "rounds" / "1.json").exists)
    place.server.give_up(DAG, backfill.id)
    place.order()
    (sum_of_four, four), (sum_of_three, three) = (opened(place, one) for one in (run, backfill))
    guess = (sum_of_four - sum_of_three) / (four - three)
    truth = flatten(load_tensors(place.home / "truth" / run.run_id / f"{D}-train-1.npz"))
    assert np.abs(guess - truth).max() < STAYS
    assert np.abs(truth).max() > 50 * STAYS


def opened(place: Place, run: FaultyRun) -> tuple[np.ndarray, int]:
    """The sum of round 1 and its examples, as the coordinator has them: its model moved by the mean."""
    rounds = place.home / "coordinator" / "runs" / run.run_id / "rounds"
    models = [load_tensors(rounds / f"{r}.npz")["model/w"].astype(np.float64) for r in (0, 1)]
    record = RoundRecord.model_validate_json((rounds / "1.json").read_bytes())
    return (models[0] - models[1]) * record.examples, record.examples
