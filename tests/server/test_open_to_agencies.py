"""A coordinator that agencies come to, started by `make up NAME=...`: HTTPS, and an agency's first steps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fl_airflow.installation import DAGS_FOLDER
from fl_airflow.server.config import authority_file, read_config

from tests.server.airflow_server import AirflowServer

AGENCY = "district_northeast"


def fl(home: Path, *words: str) -> str:
    """Run `fl WORDS` in a home folder."""
    env = {**os.environ, "HUILIU_HOME": str(home)}
    argv = [sys.executable, "-P", "-m", "fl_tasks", *words]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def opened(postgres_programs, folder):
    dags = folder / "dags"
    for part in ("scenarios", "agencies"):
        (dags / "federation" / part).mkdir(parents=True)
    shutil.copy(DAGS_FOLDER / "federated_retraining.py", dags)
    for name in ("scenarios/traffic_districts.yaml", f"agencies/{AGENCY}.yaml"):
        shutil.copy(DAGS_FOLDER / "federation" / name, dags / "federation" / name)
    server = AirflowServer(folder / "home", dags)
    words = ["--name", "localhost", "--listen", "127.0.0.1", "--dags-folder", str(dags)]
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
