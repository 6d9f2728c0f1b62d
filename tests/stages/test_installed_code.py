"""An agency's stages run only the code that its own operator approved; what has changed is named, file by file."""

from __future__ import annotations

import shutil

import pytest

from fl_tasks.__main__ import main
from fl_tasks.contracts.errors import CodeNotApproved, ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.stages import installed_code
from fl_tasks.stages.installed_code import approval_path, approve_code, check_code, installed_files
from tests.calls import counted
from tests.stages.federation_run import AGENCIES, REPOSITORY, SCENARIO

AGENCY = AGENCIES[0]


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path / "home")
    home.agency(AGENCY).mkdir(parents=True)
    return home


@pytest.fixture
def federation(tmp_path):
    shutil.copytree(REPOSITORY / "dags", tmp_path / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "dags" / "federation"


def test_the_digest_covers_packages_plugin_and_dag_files_and_neither_caches_nor_yaml(home, federation):
    names = set(installed_files(home, federation))
    assert {
        "fl_tasks/secagg/member.py",
        "fl_tasks/learning/client.py",
        "fl_airflow/operator.py",
        "plugins/fl_plugin.py",
        "expectations/traffic_districts/suite.py",
        "dags/federated_retraining.py",
    } <= names
    assert not [name for name in names if name.endswith((".yaml", ".pyc")) or "__pycache__" in name]


def test_the_digest_does_not_depend_on_where_the_dag_folder_lies(home, federation):
    there = REPOSITORY / "dags" / "federation"
    assert installed_files(home, federation) == installed_files(home, there)


def test_a_change_of_yaml_or_a_cache_needs_no_approval(home, federation):
    approve_code(home, federation, AGENCY)
    (federation / "scenarios" / f"{SCENARIO}.yaml").write_text("")
    (federation.parent / "__pycache__").mkdir()
    (federation.parent / "__pycache__" / "forecast.cpython-311.pyc").touch()
    check_code(home, federation, AGENCY)


def test_compiled_code_that_python_would_take_for_a_module_is_code(home, federation):
    approve_code(home, federation, AGENCY)
    (federation.parent / "helper.pyc").touch()
    with pytest.raises(CodeNotApproved, match=r"dags/helper.pyc \(new\)"):
        check_code(home, federation, AGENCY)


def test_changed_new_and_missing_files_are_named_and_the_command_too(home, federation):
    approve_code(home, federation, AGENCY)
    dags = federation.parent
    with (dags / "federated_retraining.py").open("a") as file:
        file.write("secret_canary = 1\n")
    (dags / "forecast.py").unlink()
    (dags / "more").mkdir()
    (dags / "more" / "other.py").touch()
    with pytest.raises(CodeNotApproved) as caught:
        check_code(home, federation, AGENCY)
    said = str(caught.value)
    assert (
        "dags/federated_retraining.py (changed), dags/forecast.py (gone), dags/more/other.py (new); look at the change"
        in said
    )
    assert f"fl agency approve-code --agency {AGENCY}" in said
    assert "secret_canary" not in said


def test_of_many_changes_the_first_are_named_and_the_others_counted(home, federation):
    approve_code(home, federation, AGENCY)
    for i in range(14):
        (federation.parent / f"new_{i:02d}.py").touch()
    with pytest.raises(CodeNotApproved, match=r"new_09\.py \(new\) and 4 more;"):
        check_code(home, federation, AGENCY)


def test_a_package_of_the_dag_folder_that_is_reached_by_a_link_counts(home, federation, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (federation.parent / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "elsewhere")  # a link to itself ends
    approve_code(home, federation, AGENCY)
    (tmp_path / "elsewhere" / "job.py").touch()
    with pytest.raises(CodeNotApproved, match=r"dags/linked/job\.py \(new\)"):
        check_code(home, federation, AGENCY)


def test_a_federation_folder_of_its_own_brings_no_dag_files(home, tmp_path):
    (tmp_path / "alone" / "federation").mkdir(parents=True)
    (tmp_path / "alone" / "big").mkdir()
    (tmp_path / "alone" / "big" / "script.py").touch()
    assert not [name for name in installed_files(home, tmp_path / "alone" / "federation") if name.startswith("dags/")]


def test_without_an_approval_or_with_a_torn_one_nothing_runs(home, federation):
    with pytest.raises(CodeNotApproved, match="no code was approved at this agency"):
        check_code(home, federation, AGENCY)
    approve_code(home, federation, AGENCY)
    path = approval_path(home.agency(AGENCY))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CodeNotApproved, match=r"approved/code\.json"):
        check_code(home, federation, AGENCY)
    approve_code(home, federation, AGENCY)
    check_code(home, federation, AGENCY)


def test_another_agencys_approval_or_federation_folder_is_refused(home, federation, tmp_path):
    approve_code(home, federation, AGENCY)
    shutil.copytree(federation.parent, tmp_path / "version_2")
    with pytest.raises(CodeNotApproved, match="the run comes from"):
        check_code(home, tmp_path / "version_2" / "federation", AGENCY)
    shutil.copytree(home.agency(AGENCY), home.agency(AGENCIES[1]))
    with pytest.raises(CodeNotApproved, match=f"of {AGENCY}"):
        check_code(home, federation, AGENCIES[1])


def test_the_command_says_what_changed_and_records_it_for_the_owner_alone(home, federation, monkeypatch, capsys):
    monkeypatch.setenv("HUILIU_HOME", str(home.root))
    monkeypatch.setenv("HUILIU_FEDERATION", str(federation))
    assert main(["agency", "approve-code", "--agency", AGENCY]) == 0
    (federation.parent / "extra.py").touch()
    with pytest.raises(CodeNotApproved):
        check_code(home, federation, AGENCY)
    capsys.readouterr()
    assert main(["agency", "approve-code", "--agency", AGENCY]) == 0
    changed, approved = capsys.readouterr().out.splitlines()
    assert changed == f"{AGENCY}: dags/extra.py (new)"
    assert approved.startswith(f"{AGENCY}: approved ")
    check_code(home, federation, AGENCY)
    assert approval_path(home.agency(AGENCY)).stat().st_mode & 0o777 == 0o600
    assert main(["agency", "approve-code", "--agency", AGENCIES[1]]) == 10


def test_the_check_does_little_more_than_read_and_hash_each_file_once(home, federation):
    approve_code(home, federation, AGENCY)
    files = len(installed_files(home, federation))
    _, calls = counted(lambda: check_code(home, federation, AGENCY))
    print(f"{calls / files:.0f} calls a file")
    assert calls < 120 * files


def test_an_agency_that_is_not_there_has_nothing_to_approve(home, federation):
    with pytest.raises(ConfigError, match="run `fl agency init` first"):
        installed_code.approve_code(home, federation, AGENCIES[2])
