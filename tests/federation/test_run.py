"""A month's run over three agencies on hosts of their own: its model, what leaves an agency, and whom it talks to."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fl_airflow.federation import prepare_airflow
from fl_airflow.installation import federated_run_id, watch_dag_id
from fl_airflow.server.config import lineage_file
from fl_airflow.settings import environment
from fl_airflow.stage_process import OWNER, start_daemon

from fl_tasks.contracts.connection import connection_path
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.report import Report
from fl_tasks.stages import enrol
from tests.faults import canary
from tests.federation.held import held_at_the_coordinator, sql
from tests.federation.officer import decided_by
from tests.federation.site import DAG, INTERVAL, SCENARIO
from tests.lineage.conformance import faults

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def embedded(site, run, tmp_path_factory) -> Report:
    """The same month in one process, with the same agencies, data and secrets, and a roster of its own."""
    home = Home(tmp_path_factory.mktemp("embedded"))
    federation = site.layout.dags / "federation"
    for host in site.hosts:
        folder = home.agency(host.name)
        shutil.copytree(
            host.home.agency(host.name), folder, ignore=shutil.ignore_patterns("secagg", "head", "runs", "*.sock")
        )
        connection_path(folder).unlink()
        # Who decided on it is no part of what is learnt.
        decided_by(folder / "policy.yaml", "policy")
        enrol.init_agency(home, federation, SCENARIO, host.name)
    roster = enrol.init_coordinator(home, federation, SCENARIO)
    for host in site.hosts:
        enrol.approve(home, SCENARIO, host.name, roster.sha256.hex())
    prepare_airflow(home.root)
    now = dt.datetime.now(dt.UTC).isoformat()
    argv = [
        *(sys.executable, "-P", "-m", "fl_airflow.embedded.dag_run"),
        *(str(site.layout.dags / "federated_retraining.py"), DAG, "--logical-date", now, "--run-after", now),
        *("--conf", json.dumps({"interval": INTERVAL, "local_only": False})),
    ]
    env = environment(home.root) | {
        "AIRFLOW__CORE__DAGS_FOLDER": str(site.layout.dags),
        "HUILIU_FEDERATION": str(federation),
        OWNER: str(os.getpid()),
    }
    log = home.root / "log"
    daemon = start_daemon(home.root, env)
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
            )
    finally:
        daemon.terminate()
        daemon.wait()
    assert done.returncode == 0, log.read_text()[-3000:]
    (found,) = (home.root / "runs").glob("*/report.json")
    return Report.model_validate_json(found.read_bytes())


def test_it_gives_the_models_of_the_embedded_run(site, run, embedded):
    here = site.report(run)
    assert here.model is not None
    assert here.model.sha256 == embedded.model.sha256
    assert [record.model_sha256 for record in here.rounds] == [record.model_sha256 for record in embedded.rounds]
    assert [record.status for record in here.rounds].count("aggregated") == 2
    assert set(here.cohort) == set(site.layout.file.agencies)


def test_each_agency_talks_to_one_address_and_port(site, watched):
    for host in site.hosts:
        assert watched.packets[host.name] == {("tcp", site.layout.address, 8443)}, host.name


def test_an_agency_reaches_nothing_but_that_port(site, run):
    code = """
import json, socket, sys
found = []
for address, port in json.load(sys.stdin):
    s = socket.socket(); s.settimeout(1)
    try:
        s.connect((address, port)); found.append([address, port])
    except OSError:
        pass
print(json.dumps(found))
"""
    host, other = site.hosts[:2]
    own, machines = site.layout.outside[1], site.layout.outside[0]
    ports = (22, 5432, 8080, 8443, 8793, 8794)
    asked = [
        (address, port)
        for address in (site.layout.address, host.gateway, other.address, own, machines)
        for port in ports
    ]
    done = site.on_host(host, host.worker_uid, [sys.executable, "-P", "-c", code], json.dumps(asked))
    assert json.loads(done.stdout) == [[site.layout.address, 8443]]


def listening(pid: int) -> set[str]:
    """Ports, hexadecimal, of a process's network namespace on which others can reach something."""
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()
    ]
    own = ("0100007F:", "00000000000000000000000001000000:")
    return {fields[1].rsplit(":", 1)[1] for fields in lines if fields[3] == "0A" and not fields[1].startswith(own)}


def test_an_agency_listens_on_no_port(site, run):
    assert listening(site.pid("scheduler")) == {f"{8443:04X}"}
    for host in site.hosts:
        for part in ("daemon", "worker"):
            assert listening(site.pid(f"{host.name}.{part}")) == set(), (host.name, part)


@pytest.fixture(scope="module")
def needles(site, watched, tmp_path_factory) -> dict[str, bytes]:
    """Rows, keys and unmasked deltas of the agencies, in all forms in which they may be written."""
    run_id = federated_run_id(SCENARIO, watched.id)
    found = canary.row_needles(site.hosts[0].home.root, run_id)
    for host in site.hosts:
        found |= canary.key_needles(host.home.root)
        again = canary.deltas_again(host.home.root, run_id, tmp_path_factory.mktemp("again"))
        assert len(again) == 2
        for name, secret in {**watched.secrets[host.name], **again}.items():
            found |= canary.forms(name, secret)
    return found


def test_nothing_raw_is_found_at_the_coordinator(site, needles):
    assert canary.search(held_at_the_coordinator(site), needles) == {}


def test_bodies_objects_and_database_were_searched_and_a_planted_leak_is_found(site, run, needles):
    searched = held_at_the_coordinator(site)
    names = {name for name, _ in searched}
    run_id = federated_run_id(SCENARIO, run)
    for host in site.hosts:
        assert f"exchange/{run_id}/r/1/up/{host.name}" in names
        assert any(name.startswith("server/bodies/") and f"up_{host.name}" in name for name in names)
    assert "metadata database" in canary.search(searched, {"run": run.encode()})["run"]
    delta = next(name for name in needles if name.endswith("delta.npz"))
    key = f"{site.hosts[1].name}/protocol.key"
    leaks = {"exchange/leak": b"speed " + needles["row as text"], "server/bodies/leak": b"x" + needles[delta] + b"x"}
    for name, leak in leaks.items():
        (site.home / name).write_bytes(leak)
    pool = f"'leak', 1, false, '{needles[key].hex()}'"
    sql(site, f"INSERT INTO slot_pool (pool, slots, include_deferred, description) VALUES ({pool})")
    try:
        found = canary.search(held_at_the_coordinator(site), needles)
    finally:
        sql(site, "DELETE FROM slot_pool WHERE pool = 'leak'")
        for name in leaks:
            (site.home / name).unlink()
    assert found == {
        "row as text": {"exchange/leak"},
        delta: {"server/bodies/leak"},
        f"{key}, hexadecimal": {"metadata database"},
    }


def test_the_needles_are_those_of_the_agencies(site, run, needles):
    for host in site.hosts:
        found = canary.search(canary.inside(host.home.root), needles)
        assert any(name.startswith(f"{host.name}/protocol.key") for name in found), host.name
    assert "row as text" in canary.search(canary.inside(site.hosts[0].home.root), needles)


def test_logs_of_an_agencys_tasks_are_at_the_agency_only(site, run):
    for host in site.hosts:
        task = f"prepare.{host.name}.ingest"
        assert site.log(DAG, run, task) == ""
        place = f"dag_id={DAG}/run_id={run}/task_id={task}/attempt=1.log"
        assert "fl-step" in (host.worker / "airflow" / "logs" / place).read_text()


def test_tasks_of_an_agency_ran_at_its_worker_only(site, run):
    workers = {
        task["queue"]: task["hostname"] for task in site.task_instances(DAG, run).values() if task["queue"] != "default"
    }
    assert workers == {host.name: host.name for host in site.hosts}


def test_the_lineage_of_an_agencys_tasks_is_at_the_agency_only(site, run):
    def jobs(path) -> set[str]:
        return {json.loads(line)["job"]["name"].partition(".")[2] for line in path.read_text().splitlines()}

    at_the_coordinator = jobs(lineage_file(site.home))
    assert {"cohort", "verdict"} <= at_the_coordinator
    for host in site.hosts:
        there = jobs(host.worker / "lineage" / "openlineage.jsonl")
        assert {f"prepare.{host.name}.ingest", f"round_01.train.{host.name}"} <= there
        assert all(host.name in name.split(".") for name in there)
        assert not there & at_the_coordinator


def test_a_watch_of_the_data_goes_over_the_same_hosts(site, run):
    watch = watch_dag_id(SCENARIO)
    id_ = site.trigger(watch, {"interval": ["2012-03-31", "2012-04-01"]})
    state = site.wait(watch, id_, 200)
    assert state == "success", site.failures(watch, id_)
    tasks = site.task_instances(watch, id_)
    for host in site.hosts:
        assert tasks[f"{host.name}.watch"]["state"] == "success", site.agencies_logs(id_, watch)
        run_id = federated_run_id(SCENARIO, id_, "watch")
        assert (Home(site.home).exchange(run_id) / "watch" / host.name).exists()


def test_every_event_of_every_host_is_valid(site, run):
    """Of the retraining with its plan, and of the watch before this test; at the workers and at the coordinator."""
    kinds = set()
    for path in (lineage_file(site.home), *(host.worker / "lineage" / "openlineage.jsonl" for host in site.hosts)):
        events = [json.loads(line) for line in path.read_text().splitlines()]
        assert events
        assert [fault for event in events for fault in faults(event)] == []
        kinds |= {event["job"]["name"].rpartition(".")[2] for event in events}
    assert {"plan", "ingest", "watch", "drift", "cohort", "verdict"} <= kinds
