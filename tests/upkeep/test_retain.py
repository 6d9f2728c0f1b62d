"""Which leftovers of runs go at the coordinator, and that an interruption leaves nothing half."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from fl_tasks.__main__ import main
from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.upkeep import retain
from fl_tasks.upkeep.coordinator_runs import retain_coordinator
from fl_tasks.upkeep.retain import Leftover, Limits, freed_bytes, kind_of, old
from tests.registry.trained_run import AGENCIES, SCENARIO, Installation, evaluation

NOW = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
# The sessions of trained_run end with the century.
AFTER = dt.datetime(2100, 6, 1, tzinfo=dt.UTC)


def leftover(run_id: str, days: int, *, kind: str = SCENARIO, over: bool = True) -> Leftover:
    return Leftover(kind, run_id, NOW - dt.timedelta(days=days), over, (Path(run_id),))


def gone(found, **limits):
    return [one.run_id for one in old(found, Limits(**limits), NOW)]


@pytest.fixture
def three(tmp_path, monkeypatch) -> Installation:
    """Three months in a row, each of whose models became champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = Installation(tmp_path).install()
    for month, error in ((1, 0.5), (2, 0.4), (3, 0.3)):
        scores = {"persistence": 1.0} | ({"champion": error + 0.1} if month > 1 else {})
        made.train(month, month, dict.fromkeys(AGENCIES, evaluation(error, **scores)))
        made.stage("gate", month)
        assert made.stage("promote", month).status == "done"
        folder = made.home.report(made.spec("gate", month).run_id)
        write_atomic(folder / "report.json", b"{}")
        write_atomic(made.home.coordinator_run(folder.name) / "results" / "verdict.json", b"{}")
    return made


def runs(installation) -> set[str]:
    home = installation.home
    return {path.parent.name + "/" + path.name for path in home.root.glob("*/*__*")} | {
        f"coordinator/{path.name}" for path in (home.coordinator / "runs").glob("*__*")
    }


def test_only_what_is_old_and_not_among_the_newest_of_its_kind_goes():
    found = [leftover("a", 90), leftover("b", 80), leftover("c", 10), leftover("d", 95, kind="other")]
    assert gone(found, days=60, keep=1) == ["a", "b"]
    assert gone(found, days=60, keep=2) == ["a"]
    assert gone(found, days=85, keep=1) == ["a"]
    assert gone([leftover("a", 90, over=False), leftover("b", 1)], days=60, keep=1) == []


@pytest.mark.parametrize("limits", [{"days": 0, "keep": 3}, {"days": 60, "keep": 0}])
def test_limits_that_would_take_everything_are_refused(limits):
    with pytest.raises(ConfigError, match="nothing was removed"):
        Limits(**limits)


@pytest.mark.parametrize(
    ("run_id", "kind"),
    [
        ("traffic__manual__2026-11-29T05:02:31.97+00:00", "traffic"),
        ("forecast.traffic__asset__1.5", "forecast.traffic"),
        ("watch.two__words__manual__1", "watch.two__words"),
        ("unknown__x", "unknown"),
    ],
)
def test_a_run_is_counted_with_its_kind_and_scenario(run_id, kind):
    assert kind_of(run_id, ["traffic", "two", "two__words"]) == kind


def test_a_file_with_a_name_elsewhere_frees_nothing(tmp_path):
    for name in ("going", "staying"):
        (tmp_path / name).mkdir()
    (tmp_path / "going" / "x").write_bytes(bytes(8192))
    (tmp_path / "going" / "y").hardlink_to(tmp_path / "going" / "x")
    both = freed_bytes([tmp_path / "going"])
    assert both >= 8192
    assert both < 2 * 8192
    (tmp_path / "staying" / "x").hardlink_to(tmp_path / "going" / "x")
    assert freed_bytes([tmp_path / "going"]) == 0


def test_a_run_whose_session_may_go_on_stays(three):
    before = runs(three)
    assert retain_coordinator(three.home, Limits(60, 1), AFTER - dt.timedelta(days=300), dry_run=False) == []
    assert runs(three) == before


def test_a_report_without_its_verdict_stays(three):
    first = three.spec("gate", 1).run_id
    (three.home.coordinator_run(first) / "results" / "verdict.json").unlink()
    gone = retain_coordinator(three.home, Limits(60, 1), AFTER, dry_run=True)
    assert first not in [one.run_id for one in gone]


def test_a_rollback_works_after_the_runs_are_gone(three):
    first, second, third = (three.spec("gate", month).run_id for month in (1, 2, 3))
    gone = retain_coordinator(three.home, Limits(60, 1), AFTER, dry_run=False)
    assert [one.run_id for one in gone] == [first, second]
    assert runs(three) == {f"exchange/{third}", f"coordinator/{third}"} | {f"runs/{x}" for x in (first, second, third)}
    assert three.stage("rollback", 4, "rollback", version=1).version == 1
    client = MlflowClient(f"sqlite:///{three.home.mlflow / 'mlflow.db'}")
    assert sorted(int(one.version) for one in client.search_model_versions(f"name = '{SCENARIO}'")) == [1, 2, 3]
    assert int(client.get_model_version_by_alias(SCENARIO, "champion").version) == 1


def test_what_is_no_run_is_left_alone(three):
    for folder in ("exchange/lost+found", "runs/notes", "coordinator/runs/mine"):
        (three.home.root / folder).mkdir()
    retain_coordinator(three.home, Limits(60, 1), AFTER, dry_run=False)
    assert all((three.home.root / folder).is_dir() for folder in ("exchange/lost+found", "runs/notes"))


def test_an_interrupted_call_leaves_nothing_half_and_the_next_one_deletes_it(three, monkeypatch):
    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(retain.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            retain_coordinator(three.home, Limits(60, 1), AFTER, dry_run=False)
    third = three.spec("gate", 3).run_id
    assert {name for name in runs(three) if not name.startswith("runs/")} == {
        f"exchange/{third}",
        f"coordinator/{third}",
    }
    assert list(three.home.root.rglob(".removed/*"))
    retain_coordinator(three.home, Limits(60, 1), AFTER, dry_run=False)
    assert not list(three.home.root.rglob(".removed"))


def test_the_command_says_what_would_go(three, monkeypatch, capsys):
    monkeypatch.setenv("HUILIU_HOME", str(three.home.root))
    monkeypatch.setenv("HUILIU_FEDERATION", str(three.federation))
    shutil.copytree(three.home.agency(AGENCIES[0]), three.home.agency("left"))
    assert main(["retain", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "coordinator: 0 runs would go, 0 bytes" in said
    assert all(f"{agency}: 0 runs would go, 0 bytes" in said for agency in AGENCIES)
