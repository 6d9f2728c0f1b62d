"""A coordinator that agencies come to, started by `make up NAME=...`: HTTPS, and an agency's first steps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fl_airflow.installation import DAGS_FOLDER
from fl_airflow.server.config import EVERY_ADDRESS, ServerConfig, authority_file, configure, read_config
from fl_airflow.server.postgres import free_port
from sqlalchemy import create_engine, text

from tests.server.airflow_server import AirflowServer, reachable_folder
from tests.server.test_server import LISTEN, LOOPBACK, tcp_sockets

AGENCY = "district_northeast"


def fl(home: Path, *words: str) -> str:
    """Run `fl WORDS` in a home folder."""
    env = {**os.environ, "HUILIU_HOME": str(home)}
    argv = [sys.executable, "-P", "-m", "fl_tasks", *words]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder():
    with reachable_folder() as made:
        yield made


@pytest.fixture(scope="module")
def opened(postgres_programs, folder):
    dags = folder / "dags"
    for part in ("scenarios", "agencies"):
        (dags / "federation" / part).mkdir(parents=True)
    shutil.copy(DAGS_FOLDER / "federated_retraining.py", dags)
    for name in ("scenarios/traffic_districts.yaml", f"agencies/{AGENCY}.yaml"):
        shutil.copy(DAGS_FOLDER / "federation" / name, dags / "federation" / name)
    server = AirflowServer(folder / "home", dags)
    # As an operator has left it: tasks wait longer for their worker than usual.
    former = ServerConfig.for_agencies(["localhost"], EVERY_ADDRESS, server.port, free_port(), dags)
    configure(server.home, former.model_copy(update={"absent_seconds": 777}))
    words = ["--name", "localhost", "--dags-folder", str(dags)]
    done = server.command("up", "--port", str(server.port), *words)
    try:
        assert done.returncode == 0, done.stdout
        server.said = done.stdout
        yield server
    finally:
        server.stop()


def test_an_agency_joins_and_is_admitted_over_https(opened, folder):
    url, authority = f"https://localhost:{opened.port}", authority_file(opened.home, read_config(opened.home))
    assert f"agencies reach it at {url}; hand them {authority}" in opened.said
    agency = folder / "agency"
    fl(agency, "agency", "join", "--url", url, "--ca", str(authority), "--agency", AGENCY)
    card = agency / "agencies" / AGENCY / "card.json"
    fingerprint = re.findall(r"\b[0-9a-f]{64}\b", fl(agency, "agency", "card", "--agency", AGENCY))[-1]
    fl(opened.home, "coordinator", "admit", str(card), "--fingerprint", fingerprint)
    fl(agency, "agency", "init", "--scenario", "traffic_districts", "--agency", AGENCY)  # posts the card over HTTPS
    assert AGENCY in fl(opened.home, "coordinator", "agencies")


def test_one_port_is_open_and_all_else_stays_on_the_loopback_address(opened):
    listening = [address for state, address in tcp_sockets(opened.processes()) if state == LISTEN]
    others = [address for address in listening if address.partition(":")[0] not in LOOPBACK]
    assert others == [f"00000000:{opened.port:04X}"]
    assert len(listening) > 1


def test_requests_that_come_all_at_once_are_all_answered(opened):
    """Who has a connection needs a thread to write its answer; if all threads wait for a connection, nothing goes on.

    The table is locked until each thread of the server holds a request that waits for it or for a connection; how fast
    anything is does not matter.
    """
    opened.api.call("GET", "/variables")  # logs in
    engine = create_engine((opened.home / "server" / "secrets" / "database_url").read_text().strip())
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'variable'::regclass")
    with ThreadPoolExecutor(100) as callers, engine.connect() as database:
        database.execute(text("LOCK TABLE variable IN ACCESS EXCLUSIVE MODE"))
        calls = [callers.submit(opened.api.call, "GET", "/variables") for _ in range(100)]
        end = time.monotonic() + 10.0  # the callers' patience is 30 s
        while (held := database.scalar(waiting)) < 40 and time.monotonic() < end:
            time.sleep(0.2)
        database.rollback()
        answers = [call.result() for call in calls]
    engine.dispose()
    assert held == 40, "not all threads of the server were taken: the test shows nothing"
    assert all(answer == {"variables": [], "total_entries": 0} for answer in answers)


def test_what_an_operator_has_set_is_kept(opened):
    assert read_config(opened.home).absent_seconds == 777
