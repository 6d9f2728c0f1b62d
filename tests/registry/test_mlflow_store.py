"""What MLflow is told, read back with its own client: on SQLite, by several processes, and through a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient

from fl_tasks.contracts.stage import write_spec
from fl_tasks.contracts.tensors import load_tensors, tensors_sha256
from tests.registry.trained_run import AGENCIES, REPOSITORY, SCENARIO, Installation, evaluation

# Three versions of a scenario's model, each registered as a stage would.
REGISTER = """
import datetime as dt, pathlib, sys
from fl_tasks.registry.mlflow_store import ModelFacts, open_store
from tests.registry.trained_run import a_model
folder, scenario = pathlib.Path(sys.argv[1]), sys.argv[2]
for n in range(3):
    with open_store(folder, scenario) as store:
        times = (dt.datetime(2012, 1, 1, tzinfo=dt.UTC), dt.datetime(2012, 2, 1, tzinfo=dt.UTC))
        store.point("challenger", store.register(ModelFacts(f"run{n}", times, f"{n:064d}", a_model(), b"npz")))
"""

# What a process of its own does: log the run of a spec and say what is left of MLflow in it.
PROBE = """
import json, logging, os, pathlib, sys, threading
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
from fl_tasks.stages.runner import run_stage
run_stage(pathlib.Path(sys.argv[1]))
children = [c for t in os.listdir("/proc/self/task") for c in open(f"/proc/self/task/{t}/children").read().split()]
own = {str(path.readlink()) for path in pathlib.Path("/proc/self/fd").iterdir() if path.is_symlink()}
print(json.dumps({
    "threads": [thread.name for thread in threading.enumerate()],
    "children": children,
    "sockets": sorted(link for link in own if link.startswith("socket:")),
    "telemetry": os.environ["MLFLOW_DISABLE_TELEMETRY"] + os.environ["DO_NOT_TRACK"],
}))
"""


def client_of(installation) -> MlflowClient:
    uri = f"sqlite:///{installation.home.mlflow / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def only_run(client: MlflowClient):
    experiment = client.get_experiment_by_name(SCENARIO)
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def judged(installation: Installation) -> str:
    """A month with different scores at each agency; gives the model's hash."""
    said = {agency: evaluation(0.5 + i / 10, persistence=1.0, local_only=0.9) for i, agency in enumerate(AGENCIES)}
    return installation.train(1, 1, said)


def check_logged(client: MlflowClient, sha256: str) -> None:
    run = only_run(client)
    assert run.info.run_name == f"{SCENARIO}__scheduled__2012-01"
    assert run.info.status == "FINISHED"
    history = {
        name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        for name in ("loss", "validation_loss", "survivors", "seconds")
    }
    assert history == {
        "loss": [(1, 1.0), (2, 0.5)],
        "validation_loss": [(1, 2.0), (2, 1.0)],
        "survivors": [(1, 4.0), (2, 4.0)],
        "seconds": [(1, 5.0), (2, 5.0)],
    }
    metrics = run.data.metrics
    assert metrics["evaluation/district_southwest/federated/15min/rmse"] == 8.0
    assert metrics["evaluation/district_southwest/federated/15min/scaled_rmse"] == 0.8
    assert metrics["evaluation/overall/federated/30min/scaled_rmse"] == pytest.approx(0.65)
    assert metrics["evaluation/overall/persistence/15min/scaled_mae"] == 1.0
    assert {name: run.data.params[name] for name in ("rounds", "cohort", "t")} == {
        "rounds": "2",
        "cohort": "4",
        "t": "3",
    }
    (version,) = client.search_model_versions(f"name = '{SCENARIO}'")
    assert version.run_id == run.info.run_id
    assert version.tags == {
        "huiliu.run_id": f"{SCENARIO}__scheduled__2012-01",
        "huiliu.model_sha256": sha256,
        "huiliu.data_interval_start": "2012-01-01T00:00:00-08:00",
        "huiliu.data_interval_end": "2012-02-01T00:00:00-08:00",
    }
    assert set(run.data.tags) == {*version.tags, "mlflow.runName", "huiliu.gate", "huiliu.gate_reason"}
    assert {entry.path for entry in client.list_artifacts(run.info.run_id)} == {"facts.json", "model"}


def test_a_run_is_logged_as_it_was_and_its_model_can_be_fetched(installation, tmp_path, monkeypatch):
    sha256 = judged(installation)
    installation.stage("gate", 1)
    installation.stage("promote", 1)
    client = client_of(installation)
    check_logged(client, sha256)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{installation.home.mlflow / 'mlflow.db'}")
    download_artifacts(f"models:/{SCENARIO}@champion", dst_path=str(tmp_path / "fetched"))
    assert tensors_sha256(load_tensors(tmp_path / "fetched" / "model.npz")).hex() == sha256
    assert json.loads((tmp_path / "fetched" / "model.json").read_text())["scenario"] == SCENARIO


def test_mlflow_learns_of_no_person_machine_or_count_of_rows(installation):
    judged(installation)
    installation.stage("gate", 1)
    client = client_of(installation)
    run = only_run(client)
    (version,) = client.search_model_versions()
    assert (run.info.user_id, version.user_id) == ("unknown", None)
    # Values x windows of an evaluation, training examples of a round.
    assert not {777_777.0, 123_457.0} & set(run.data.metrics.values())
    stored = b"".join(path.read_bytes() for path in installation.home.mlflow.rglob("*") if path.is_file())
    for text in ("777777", "123457", "clipped", socket.gethostname(), str(REPOSITORY)):
        assert text.encode() not in stored, text


def test_a_retry_that_logs_again_adds_nothing(installation):
    sha256 = judged(installation)
    installation.stage("gate", 1)
    # The task died before its decision was on the disk.
    (installation.spec("gate", 1).folder / "gate.json").unlink()
    installation.stage("gate", 1)
    check_logged(client_of(installation), sha256)


def test_a_stage_leaves_no_child_port_thread_or_file_and_only_our_lines_in_the_log(installation, tmp_path):
    judged(installation)
    path = write_spec(installation.spec("gate", 1))
    here = tmp_path / "here"
    here.mkdir()
    argv = [sys.executable, "-c", PROBE, str(path)]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=here, timeout=120)
    assert ended.returncode == 0, ended.stderr
    *lines, left = ended.stdout.splitlines()
    assert json.loads(left) == {"threads": ["MainThread"], "children": [], "sockets": [], "telemetry": "truetrue"}
    assert [line.split()[0] for line in lines] == ["stage=gate", "stage=gate"]
    assert "INFO" not in ended.stderr
    assert list(here.iterdir()) == []


def test_two_scenarios_at_once_share_one_new_database(tmp_path):
    folder = tmp_path / "mlflow"
    scenarios = ("one", "two")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REGISTER, str(folder), scenario], stderr=subprocess.PIPE, cwd=REPOSITORY
        )
        for scenario in scenarios
    ]
    for process in processes:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err.decode()
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    for scenario in scenarios:
        versions = client.search_model_versions(f"name = '{scenario}'")
        assert sorted(int(version.version) for version in versions) == [1, 2, 3]


@pytest.fixture
def server(tmp_path):
    """A real MLflow server on a free port of this machine; its process group ends with the test."""
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port = probe_socket.getsockname()[1]
    root = tmp_path / "server"
    root.mkdir()
    argv = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{root / 'server.db'}", "--artifacts-destination", str(root / "artifacts")),
    ]
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with (root / "log").open("w") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True, cwd=root, env=env)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert process.poll() is None, (root / "log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=2):
                    break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail((root / "log").read_text()[-2000:])
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


@pytest.mark.timeout(900)  # a slow machine starts it in minutes
def test_a_server_named_by_mlflow_tracking_uri_is_told_the_same(installation, server, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    sha256 = judged(installation)
    installation.stage("gate", 1)
    installation.stage("promote", 1)
    client = MlflowClient(tracking_uri=server, registry_uri=server)
    check_logged(client, sha256)
    assert client.get_model_version_by_alias(SCENARIO, "champion").tags["huiliu.model_sha256"] == sha256
    assert not (installation.home.mlflow / "mlflow.db").exists()
    run_id = only_run(client).info.run_id
    client.download_artifacts(run_id, "model", str(tmp_path))
    assert tensors_sha256(load_tensors(tmp_path / "model" / "model.npz")).hex() == sha256
    assert "View run" not in capfd.readouterr().out
