"""The learning job as a process: its bytes, its exit codes, what it leaves running."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from fl_tasks.learning.__main__ import main


def run_in_a_process(path, *, timeout=120):
    """Run a job as the pipeline does; return exit code, stderr, and the ids of processes that it left.

    A mark in the environment finds its descendants, also those that took a session of their own.
    """
    mark = f"HUILIU_TEST_MARK={uuid.uuid4().hex}"
    name, value = mark.split("=")
    log = path.with_suffix(".log")
    with log.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "fl_tasks.learning", str(path)],
            env={**os.environ, name: value},
            stdout=output,
            stderr=output,
            timeout=timeout,
            check=False,
        )
    left = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                left.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return done.returncode, log.read_text(), left


@pytest.fixture
def gru_desk(desk):
    desk.learning = {"model": "gru", "local_epochs": 2}
    desk.examples("fit", count=203)
    return desk


def test_the_initial_model_is_the_same_in_every_process(gru_desk):
    assert main([str(gru_desk.job("init"))]) == 0
    here = gru_desk.bytes("weights.npz"), gru_desk.bytes("state.npz")
    assert run_in_a_process(gru_desk.job("init")) == (0, "", [])
    assert (gru_desk.bytes("weights.npz"), gru_desk.bytes("state.npz")) == here


def test_a_retried_train_job_leaves_the_same_bytes_and_no_process(gru_desk):
    main([str(gru_desk.job("init"))])
    assert main([str(gru_desk.job("train"))]) == 0
    here = gru_desk.bytes("delta.npz")
    (gru_desk.folder / "delta.npz").unlink()
    assert run_in_a_process(gru_desk.job("train")) == (0, "", [])
    assert gru_desk.bytes("delta.npz") == here
    assert 0 < gru_desk.result("train")["seconds_import"] < 60


def test_a_wrong_job_file_is_refused_before_tensorflow_is_imported(desk):
    path = desk.job("train", shuffle_seed=-1)
    code, error, _ = run_in_a_process(path, timeout=20)
    assert code == 10
    assert error.startswith("ConfigError: ")
    assert "shuffle_seed" in error


def test_an_error_of_the_program_keeps_its_traceback(desk):
    path = desk.folder / "job.json"
    path.mkdir()
    code, error, _ = run_in_a_process(path, timeout=20)
    assert code == 1
    assert "Traceback" in error
