"""Learning by a worker gives the bytes that a process of its own gives, without its import, and ends with its stage."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
from pathlib import Path

import numpy as np
import pytest

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import LearningConfig
from fl_tasks.contracts.jobs import InitJob, Job, JobFile, ModelSpec, TrainJob
from fl_tasks.daemon.client import StageByDaemon
from fl_tasks.stages.learning_process import learning_python, run_job
from tests.daemon.behaving import read_job
from tests.daemon.serving import gone, wait_for

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module", autouse=True)
def _learning_environment():
    if not learning_python().exists():
        pytest.skip("no learning environment here; run `make setup`")


def model(epochs: int = 1) -> ModelSpec:
    learning = LearningConfig.model_validate_json(
        json.dumps(
            {
                "model": "mlp",
                "units": 8,
                "local_epochs": epochs,
                "batch_size": 64,
                "client_optimizer": {"name": "adam", "learning_rate": 0.01},
                "server_optimizer": {"name": "sgd", "learning_rate": 1.0},
                "seed": 7,
            }
        )
    )
    return ModelSpec(
        scenario="traffic", learning=learning, input_shape=(12, 3), output_shape=(3,), step_minutes=5, calendar=("day",)
    )


def jobs(folder: Path, examples: int = 500, epochs: int = 1) -> tuple[InitJob, TrainJob]:
    draw = np.random.default_rng(0)
    (folder / "examples").mkdir(parents=True, exist_ok=True)
    np.save(folder / "examples" / "x.npy", draw.normal(size=(examples, 12, 3)).astype(np.float32))
    np.save(folder / "examples" / "y.npy", draw.normal(size=(examples, 3)).astype(np.float32))
    init = InitJob(model=model(), weights_out=folder / "weights.npz", state_out=folder / "state.npz")
    train = TrainJob(
        model=model(epochs),
        weights=init.weights_out,
        examples=folder / "examples",
        shuffle_seed=1,
        delta_out=folder / "delta.npz",
    )
    return init, train


def written(folder: Path, job: Job) -> Path:
    path = folder / f"{job.kind}.json"
    write_atomic(path, JobFile(job=job).model_dump_json().encode())
    return path


def arrays(path: Path) -> dict[str, bytes]:
    with np.load(path) as found:
        return {name: found[name].tobytes() for name in found.files}


def test_a_worker_gives_the_bytes_of_a_process_at_every_call(served, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    for job in jobs(alone):
        run_job(job, written(alone, job))
    home = served("--learning")
    imports = []
    init, train = jobs(together)
    for job in (init, train, train):
        if job is train:
            train.delta_out.unlink(missing_ok=True)
        assert home.stage("learn", written(together, job)).run() == 0, home.lines
        imports.append(float(home.lines[-1].removeprefix("import=")))
        if job is train:
            assert arrays(together / "delta.npz") == arrays(alone / "delta.npz")
    assert arrays(together / "weights.npz") == arrays(alone / "weights.npz")
    assert max(imports[1:]) < 0.5


def test_a_job_that_is_refused_says_why_in_the_stages_output_and_is_final(served, tmp_path):
    home = served("--learning")
    _, train = jobs(tmp_path / "jobs")
    assert home.stage("learn", written(tmp_path / "jobs", train)).run() == 1
    text = "\n".join(home.lines)
    assert "MissingInput" in text
    assert "LearningFailed" in text


def test_a_worker_ends_with_the_stage_that_waits_for_it(served, tmp_path):
    home = served("--learning")
    init, train = jobs(tmp_path / "jobs", examples=20_000, epochs=100)
    assert home.stage("learn", written(tmp_path / "jobs", init)).run() == 0
    path = written(tmp_path / "jobs", train)
    assert read_job(path) == train
    before = workers_of(home.pid())
    assert len(before) == 1
    stage: StageByDaemon = home.stage("learn", path)
    runner = threading.Thread(target=stage.run)
    runner.start()
    assert not wait_for(lambda: not runner.is_alive(), seconds=3.0)
    stage.kill()
    runner.join(30)
    assert wait_for(lambda: gone(before[0]))
    assert not train.delta_out.exists()
    # The next job has another worker, without a new import.
    assert home.stage("learn", written(tmp_path / "jobs", init)).run() == 0
    assert float(home.lines[-1].removeprefix("import=")) < 0.5


def test_nothing_that_tensorflow_generates_outlives_its_process(served, tmp_path, monkeypatch):
    """A worker is killed in the end, so that nothing of it is left to clean up at its exit."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    for job in jobs(tmp_path / "alone"):
        run_job(job, written(tmp_path / "alone", job))
    assert list(temporary.iterdir()) == []
    home = served("--learning")
    home.env = {**home.env, "TMPDIR": str(temporary)}
    for job in jobs(tmp_path / "jobs"):
        assert home.stage("learn", written(tmp_path / "jobs", job)).run() == 0, home.lines
    (scratch,) = temporary.iterdir()
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
    assert list(scratch.glob("*.py")), "TensorFlow generates code"
    home.end()
    assert wait_for(lambda: not list(temporary.iterdir()))


def test_what_a_killed_worker_left_goes_with_the_next_start_and_a_living_ones_folder_stays(
    served, tmp_path, monkeypatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    home = served("--learning")
    home.env = {**home.env, "TMPDIR": str(temporary)}
    init, train = jobs(tmp_path / "jobs")
    path = written(tmp_path / "jobs", init)
    assert home.stage("learn", path).run() == 0, home.lines
    (killed,) = temporary.iterdir()
    (worker,) = workers_of(home.pid())
    os.kill(worker, signal.SIGKILL)
    assert wait_for(lambda: gone(worker))
    # A daemon that has not seen its end yet gives it the job, and the stage fails as one whose worker has crashed.
    assert wait_for(lambda: home.stage("learn", path).run() == 0), home.lines
    (living,) = set(temporary.iterdir()) - {killed}
    run_job(train, written(tmp_path / "jobs", train))
    assert list(temporary.iterdir()) == [living]


def workers_of(daemon: int) -> list[int]:
    """Processes below the daemon's zygote."""
    children = {
        int(path.parent.name): int(path.read_text().rpartition(")")[2].split()[1])
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.exists()
    }
    zygotes = [pid for pid, parent in children.items() if parent == daemon]
    return [pid for pid, parent in children.items() if parent in zygotes]
