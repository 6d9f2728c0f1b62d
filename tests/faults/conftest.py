"""One server and two federations for all tests here; skipped, with the reason, without PostgreSQL or TensorFlow."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from fl_airflow.server.errors import PostgresMissing
from fl_airflow.server.postgres import binaries

from tests.faults import canary
from tests.faults.faulty_run import FaultyRun, by_hand, change_scenario, copy_dags, found, small
from tests.server.airflow_server import AirflowServer, reachable_folder
from tests.stages.federation_run import REPOSITORY, SCENARIO

MONTHLY = "traffic"


def two_months(config: dict[str, Any]) -> None:
    """Let the schedule begin with May 2018; one round is enough."""
    small(config)
    config["rounds"] = {"wanted": 1, "spare": 0}
    config["schedule"] |= {"start_date": dt.date(2018, 5, 1), "catchup": True}


@pytest.fixture(scope="session")
def installed():
    try:
        binaries()
    except PostgresMissing as error:
        pytest.skip(f"not verified: {error}")
    if not (REPOSITORY / ".venv-fl" / "bin" / "python").exists():
        pytest.skip("not verified: needs the learning environment: make setup")


@pytest.fixture(scope="session")
def installation(installed):
    """A running server with its home and its DAG folder, and nothing unpaused."""
    with reachable_folder() as folder:
        dags, home = copy_dags(folder), folder / "home"
        change_scenario(dags, SCENARIO, lambda config: (small(config), by_hand(config)))
        change_scenario(dags, MONTHLY, two_months)
        for scenario in (SCENARIO, MONTHLY):
            found(home, dags, scenario)
        canary.plant(home)
        server = AirflowServer(home, dags)
        try:
            server.start()
            yield server, home, dags
        finally:
            server.stop()


@pytest.fixture(scope="session")
def federation(installation):
    """The server and the home of the federation that faults befall."""
    server, home, _ = installation
    return server, home


@pytest.fixture(scope="session")
def undisturbed(federation):
    """A run that nothing befell, and the secrets that lay at agencies for moments meanwhile."""
    _, home = federation
    with canary.secrets_of_the_run(home) as passing:
        run = FaultyRun(*federation, "2012-04-01")
        run.end()
    return run, passing
