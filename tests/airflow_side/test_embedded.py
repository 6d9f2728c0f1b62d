"""The embedded mode: clear errors, a readable table, memory that is really measured, no process left behind."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fl_airflow.embedded.dag_run import airflow_run_id
from fl_airflow.embedded.memory import PeakMemory
from fl_airflow.process_tree import tree_pss_bytes
from fl_airflow.settings import environment

DEMO = [sys.executable, "-P", "-m", "fl_airflow.embedded", "demo"]


def run_demo(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"HUILIU_HOME": str(home)}
    return subprocess.run([*DEMO, *words], env=env, capture_output=True, text=True, timeout=120, check=False)


def processes_of(home: Path) -> list[int]:
    """Every living process whose environment names this home."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"HUILIU_HOME={home}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (("--rounds", "0"), "rounds: got 0"),
        (("--rounds", "11"), "rounds.wanted"),
        (("--data", "/nowhere"), "/nowhere"),
    ],
)
def test_a_wrong_input_is_one_clear_line_with_exit_code_2_and_leaves_nothing(tmp_path, words, needed):
    done = run_demo(tmp_path / "home", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert needed in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.rglob("*.csv*"))


def test_an_interrupted_demo_leaves_no_process(tmp_path):
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            DEMO, env=os.environ | {"HUILIU_HOME": str(tmp_path)}, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            end = time.monotonic() + 120
            while not list(tmp_path.glob("agencies/*/runs/*/specs/*.json")) and time.monotonic() < end:
                time.sleep(0.1)
            assert len(processes_of(tmp_path)) > 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 130
        finally:
            process.kill()
    assert processes_of(tmp_path) == []
    assert "interrupted" in (tmp_path / "out").read_text()


def test_no_descendant_survives_not_even_one_that_left_its_session_and_its_parent(tmp_path):
    script = """
import os, subprocess, sys, time
from fl_airflow.process_tree import adopt_orphans, descendants, kill_descendants
adopt_orphans()
inner = "import subprocess; subprocess.Popen(['sleep', '300'], start_new_session=True)"
subprocess.run([sys.executable, '-S', '-c', inner], check=True)
left = descendants(os.getpid())
assert len(left) == 1, left
assert kill_descendants() == left
assert descendants(os.getpid()) == []
spared = subprocess.Popen(["sh", "-c", "sleep 300 & wait"])
other = subprocess.Popen(["sleep", "300"])
while len(descendants(os.getpid())) < 3:
    time.sleep(0.01)
assert kill_descendants(spare=spared.pid) == [other.pid]
assert len(descendants(os.getpid())) == 2
assert len(kill_descendants()) == 2
print('none left')
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "none left\n", done.stderr


def test_peak_memory_counts_children_and_survives_their_end(tmp_path):
    path = tmp_path / "resources.json"
    with PeakMemory(path) as memory:
        before = tree_pss_bytes(os.getpid())
        hold = "import time; data = bytearray(200 * 2**20); time.sleep(3)"
        subprocess.run([sys.executable, "-S", "-c", hold], check=True)
    assert memory.peak_bytes > before + 150 * 2**20
    assert json.loads(path.read_bytes()) == {"peak_pss_bytes": memory.peak_bytes}


def test_the_run_id_is_known_before_the_run():
    from airflow.models.dagrun import DagRun
    from airflow.utils.types import DagRunType

    now = dt.datetime.now(dt.UTC)
    assert airflow_run_id(now) == DagRun.generate_run_id(run_type=DagRunType.MANUAL, logical_date=now, run_after=now)


def test_the_embedded_airflow_is_its_own_and_phones_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "somebody else's")
    env = environment(tmp_path, lineage=tmp_path / "lineage")
    assert "AIRFLOW__CORE__FERNET_KEY" not in env
    assert env["GX_ANALYTICS_ENABLED"] == "false"
    assert json.loads(env["AIRFLOW__OPENLINEAGE__TRANSPORT"])["type"] == "file"
    (rule,) = json.loads(env["AIRFLOW__OPENLINEAGE__EMISSION_POLICY"])
    assert rule["locked"]
    assert rule["controls"]["include_source_code"] is False
