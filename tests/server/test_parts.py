"""What the server's parts promise, without a server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from fl_airflow.server import control
from fl_airflow.server.certificates import make_certificates
from fl_airflow.server.config import ServerConfig, configure, tls_folder
from fl_airflow.server.errors import PostgresMissing, ServerError
from fl_airflow.server.postgres import PostgresCluster, binaries, free_port
from fl_airflow.server.processes import SERVER_ID, SERVER_PART, ProcessId
from fl_airflow.server.state import ServerState, write_state
from fl_airflow.server.supervisor import Restarts


def up(home: Path, port: int, names: tuple[str, ...] = ()) -> list[str]:
    """Start a server that cannot start; if it does, it must not outlive its test."""
    said: list[str] = []
    control.up(home, port, said.append, names=names)
    control.down(home, said.append)
    return said


def test_a_taken_port_is_named_and_another_offered(postgres_programs, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=rf"port {port} .*in use.*make up PORT="):
            up(tmp_path, port)


def test_a_home_that_cannot_be_written_is_named(postgres_programs, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match=r"file/server cannot be written .*HUILIU_HOME"):
        up(tmp_path / "file", free_port())


def test_a_server_that_agencies_come_to_is_not_started_as_another(postgres_programs, tmp_path):
    make_certificates(tls_folder(tmp_path), ["one.example"])
    configure(tmp_path, ServerConfig.for_agencies(["one.example"], "127.0.0.1", free_port(), free_port(), tmp_path))
    with pytest.raises(ServerError, match=r"agencies come to the server of .*make up NAME="):
        up(tmp_path, free_port())
    with pytest.raises(ServerError, match=r"the certificate is not for two\.example; start with the names that it has"):
        up(tmp_path, free_port(), ("one.example", "two.example"))


def test_a_server_for_this_machine_alone_is_not_opened(postgres_programs, tmp_path):
    configure(tmp_path, ServerConfig.on_this_machine(free_port(), free_port(), tmp_path))
    with pytest.raises(ServerError, match=r"for this machine alone; take another: HUILIU_HOME="):
        up(tmp_path, free_port(), ("one.example",))


def test_missing_postgresql_is_named_with_the_way_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("fl_airflow.server.postgres._DEBIAN", tmp_path)
    with pytest.raises(PostgresMissing, match=r"there is none\); run `make system`"):
        up(tmp_path / "home", free_port())


def test_a_cluster_of_a_version_that_is_gone_is_refused_by_its_number(postgres_programs):
    with pytest.raises(PostgresMissing, match=r"PostgreSQL 8 \(the cluster was made with it\)"):
        binaries("8")


def test_a_number_that_the_kernel_gave_away_again_is_never_killed(tmp_path):
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        now = ProcessId.of(stranger.pid)
        earlier = now.model_copy(update={"started": now.started - 1})
        assert now.alive
        assert not earlier.alive
        earlier.signal(signal.SIGKILL)
        write_state(
            tmp_path,
            ServerState(schema=1, server_id="none", supervisor=earlier, phase="running", message="", parts={}),
        )
        said: list[str] = []
        control.down(tmp_path, said.append)
        assert said == ["the server is not running"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    assert not now.alive


def test_down_stops_what_a_supervisor_that_was_killed_left_behind_and_nothing_else(tmp_path):
    supervisor = ProcessId(pid=os.getpid(), started=0, boot="an earlier start of the machine")
    left, other = (
        subprocess.Popen(["sleep", "60"], env={SERVER_ID: server, SERVER_PART: "scheduler"}, start_new_session=True)
        for server in ("ours", "another")
    )
    try:
        write_state(
            tmp_path,
            ServerState(schema=1, server_id="ours", supervisor=supervisor, phase="running", message="", parts={}),
        )
        said: list[str] = []
        control.down(tmp_path, said.append)
        assert said == ["the server is down; no process of it is left"]
        assert left.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


def test_a_part_that_dies_again_and_again_waits_longer_and_is_left_alone_in_the_end():
    restarts = Restarts()
    assert [restarts.wait_after_death(10.0 * n) for n in range(6)] == [1, 2, 4, 8, 16, None]
    rare = Restarts()
    assert [rare.wait_after_death(400.0 * n) for n in range(8)] == [1] * 8


def test_the_database_wants_a_password_and_keeps_what_was_committed(postgres_programs, folder):
    import psycopg2

    cluster = PostgresCluster(folder / "postgres", free_port())
    cluster.start()
    try:
        cluster.ensure_database("airflow", "first")
        cluster.ensure_database("airflow", "second")
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(cluster.dsn("airflow", "airflow", "first"))
        connection = psycopg2.connect(cluster.dsn("airflow", "airflow", "second"))
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE note (word text); INSERT INTO note VALUES ('kept')")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("CREATE ROLE intruder SUPERUSER")
            connection.rollback()
            cursor.execute("CREATE TABLE note (word text); INSERT INTO note VALUES ('kept')")
        connection.close()
        cluster.stop()
        cluster.start()
        connection = psycopg2.connect(cluster.dsn("airflow", "airflow", "second"))
        with connection.cursor() as cursor:
            cursor.execute("SELECT word FROM note")
            assert cursor.fetchall() == [("kept",)]
        connection.close()
        assert (cluster.data / "PG_VERSION").stat().st_uid == (os.geteuid() or cluster.account.uid)
    finally:
        cluster.stop()
    assert not cluster.ready()
