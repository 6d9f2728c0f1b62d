"""The layout of a federation on hosts of its own, and what the server is told from it."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import pytest
from fl_airflow.hosts.layout import FederationFile, Layout
from fl_airflow.server.config import ServerConfig, configure, server_environment
from fl_airflow.server.postgres import API_CONNECTIONS, CONNECTIONS


def layout(root: Path, agencies: int) -> Layout:
    names = tuple(f"agency_{number:02d}" for number in range(agencies))
    return Layout(
        root,
        FederationFile(schema=1, scenario="traffic", agencies=names, first_uid=64000, network=201, absent_seconds=300),
    )


@pytest.mark.parametrize(("agencies", "seconds"), [(3, 1.0), (5, 1.0), (8, 1.6), (20, 4.0), (40, 5.0)])
def test_the_scheduler_rests_longer_with_more_agencies(tmp_path, agencies, seconds):
    rest = layout(tmp_path, agencies).rest_seconds
    assert rest == seconds
    config = ServerConfig.on_this_machine(8080, 5432, tmp_path).model_copy(update={"rest_seconds": rest})
    configure(tmp_path, config)
    assert server_environment(tmp_path, config)["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == str(seconds)


def test_without_agencies_it_rests_as_airflow_does(tmp_path):
    assert ServerConfig.on_this_machine(8080, 5432, tmp_path).rest_seconds == 1.0


@pytest.mark.parametrize(("absent", "looks"), [(20, "5"), (180, "18"), (300, "30"), (3600, "30")])
def test_an_absent_agency_is_seen_within_a_tenth_of_its_time_or_five_seconds(tmp_path, absent, looks):
    config = ServerConfig.for_agencies(["hub.example"], "0.0.0.0", 8443, 5432, tmp_path).model_copy(
        update={"absent_seconds": absent}
    )
    configure(tmp_path, config)
    env = server_environment(tmp_path, config)
    assert env["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"] == str(absent)
    assert env["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL"] == looks


def test_tasks_at_agencies_do_not_wait_for_the_coordinators_cores(tmp_path):
    here = ServerConfig.on_this_machine(8443, 5432, tmp_path)
    configure(tmp_path, here)
    open_ = ServerConfig.for_agencies(["hub.example"], "0.0.0.0", 8443, 5432, tmp_path)
    here_env, open_env = (server_environment(tmp_path, config) for config in (here, open_))
    two_a_core = 2 * (os.cpu_count() or 1)
    assert int(here_env["AIRFLOW__CORE__PARALLELISM"]) == two_a_core
    # Airflow sends no more tasks to work in one loop than this; 0 is as many as there may be.
    assert (open_env["AIRFLOW__CORE__PARALLELISM"], open_env["AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY"]) == ("128", "0")
    module, _, name = open_env["AIRFLOW__CORE__EXECUTOR"].partition(",")[0].rpartition(".")
    assert getattr(import_module(module), name)(team_name=None).slots_available == two_a_core


def test_the_database_has_connections_for_the_api_server_and_for_the_others(tmp_path):
    config = ServerConfig.on_this_machine(8443, 5432, tmp_path)
    configure(tmp_path, config)
    env = server_environment(tmp_path, config)
    pool = sum(int(env[f"AIRFLOW__DATABASE__SQL_ALCHEMY_{name}"]) for name in ("POOL_SIZE", "MAX_OVERFLOW"))
    assert pool == API_CONNECTIONS
    assert API_CONNECTIONS > 2 * 128  # a heartbeat and a question of each task that may run
    assert CONNECTIONS - API_CONNECTIONS >= 100
