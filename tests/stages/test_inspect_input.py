"""`fl validate`: an agency hears all that is wrong with its data, an operator all that is wrong with a federation."""

from __future__ import annotations

import importlib.util
import re
import shutil

import pytest

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("the data stages run in the Airflow environment", allow_module_level=True)

from fl_tasks.__main__ import main
from fl_tasks.contracts.stage import EXIT_FINAL
from tests.stages.federation_run import REPOSITORY

CANARY = "31337"
JOINED = ("--scenario", "traffic", "--agency", "los_angeles")


@pytest.fixture
def federation(tmp_path, monkeypatch):
    folder = tmp_path / "federation"
    shutil.copytree(REPOSITORY / "dags" / "federation", folder)
    monkeypatch.setenv("HUILIU_FEDERATION", str(folder))
    monkeypatch.setenv("HUILIU_HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def validate(federation, capsys):
    """Run the command; gives the exit code and the lines it printed."""

    def run(*arguments):
        code = main(["validate", *map(str, arguments)])
        return code, capsys.readouterr().out.splitlines()

    return run


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_problem_of_a_file_is_told_with_line_and_column_but_no_value(validate, tmp_path):
    path = tmp_path / "speed.csv"
    rows = [
        "2012-03-01 00:00,60,60",
        f"2012-03-01 00:05,x{CANARY},inf",
        f"{CANARY},1,2",
        "2012-03-01,1",
        "2012-03-01,1_0,2",
    ]
    path.write_text("\n".join(["timestamp,a,b", *rows]) + "\n")
    code, lines = validate(path, *JOINED)
    assert code == EXIT_FINAL
    assert [line.removeprefix(f"{path}: ").split(";")[0] for line in lines] == [
        "line 3: column 'a' is not a number",
        "line 3: column 'b' is infinite",
        "line 4: column 'timestamp' is no date and time",
        "line 5: 2 cells, the header has 3",
        "line 6: column 'a' is not a number",
    ]
    assert CANARY not in "".join(lines)


def test_after_twenty_problems_it_stops(validate, tmp_path):
    path = tmp_path / "speed.csv"
    path.write_text("timestamp,a\n" + "x,1\n" * 100)
    code, lines = validate(path, *JOINED)
    assert (code, len(lines)) == (EXIT_FINAL, 21)
    assert "line 21:" in lines[19]
    assert "20 problems are told" in lines[20]


def test_a_good_file_is_summed_up_whatever_its_time(validate, tmp_path):
    (tmp_path / "speed.csv").write_text("timestamp,a,b\n1999-12-30 23:55,60,\n1999-12-31,61,62\n")
    code, lines = validate(tmp_path / "speed.csv", *JOINED)
    assert code == 0
    assert lines == [
        "files: speed.csv",
        "rows: 2, from 2006-04-20 23:55:00 to 2006-04-21 00:00:00 local wall time, after a shift of 329 weeks",
        "series: 2, in mph: a, b",
    ]


def test_the_declared_source_is_read_where_no_path_is_given(validate, tmp_path):
    assert validate(*JOINED) == (
        EXIT_FINAL,
        ["incoming: its name must end in .csv, .csv.gz, .parquet; save it as one of them"],
    )
    incoming = tmp_path / "home" / "agencies" / "los_angeles" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "1.csv").write_text("timestamp,a\n2012-03-01,60\n")
    (incoming / "2.csv").write_text("timestamp,a\n2012-03-01,61\n")
    code, lines = validate(*JOINED)
    assert code == 0
    assert lines[-1] == "corrections: a later file replaces values of an earlier one"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("2012-03-01 00:00,900\n2012-03-01 00:05,901\n", "most values lie outside [0, 120] mph; correct source_unit"),
        ("2012-03-01 00:01,60\n2012-03-01 00:02,60\n", "most times are not on steps of 5 min; correct step_minutes"),
        ("2012-03-01 00:00,\n", "no row has a value"),
        ("", "only a header, no row"),
    ],
)
def test_a_declaration_that_the_data_contradict_is_told(validate, tmp_path, rows, expected):
    (tmp_path / "speed.csv").write_text("timestamp,a\n" + rows)
    code, lines = validate(tmp_path / "speed.csv", *JOINED)
    assert (code, len(lines)) == (EXIT_FINAL, 1)
    assert expected in lines[0]


def test_weeks_zones_and_running_totals_are_held_against_their_own_declaration(validate, tmp_path, federation):
    path = federation / "agencies" / "los_angeles.yaml"
    text = path.read_text().replace("step_minutes: 5\n", "step_minutes: 10080\n")
    text = text.replace("source_unit: mph", "source_unit: cases/week").replace("unit: mph", "unit: cases/week")
    text = text.replace("zero_is_missing: true", "zero_is_missing: false\n    cumulative: true\n    corrections: zero")
    path.write_text(text + "    time: {weekday: saturday}\n")
    (tmp_path / "cases.csv").write_text("timestamp,a\n2018-06-02,900\n2018-06-09,960\n")
    assert validate(tmp_path / "cases.csv", *JOINED)[0] == 0
    path.write_text(text + "    time: {weekday: friday}\n")
    code, lines = validate(tmp_path / "cases.csv", *JOINED)
    assert (code, "most times are not on steps of 10080 min" in lines[0]) == (EXIT_FINAL, True)
    path.write_text(text + "    time: {weekday: saturday, timezone: offset}\n")
    (tmp_path / "cases.csv").write_text("timestamp,a\n2018-06-02T04:00Z,900\n2018-06-09T04:00Z,960\n")
    assert validate(tmp_path / "cases.csv", *JOINED)[0] == 0


def test_an_agency_that_has_not_joined_and_half_a_question_are_refused(validate, tmp_path, capsys):
    assert main(["validate", "x.csv", "--scenario", "traffic", "--agency", "district_northeast"]) == EXIT_FINAL
    assert "field scenarios: 'traffic' is not there" in capsys.readouterr().err
    assert main(["validate", "x.csv", "--scenario", "traffic"]) == EXIT_FINAL
    assert "--scenario and --agency belong together" in capsys.readouterr().err


def test_the_repositorys_own_federation_is_right(validate):
    code, lines = validate()
    assert code == 0
    assert "traffic: 4 agencies (california_pems, los_angeles, minneapolis_i94, new_york)" in lines


def test_every_wrong_yaml_is_told_not_only_the_first(validate, federation):
    replace(federation / "agencies" / "new_york.yaml", "source_unit: trips/h", "source_unit: vehicles/h")
    replace(federation / "agencies" / "los_angeles.yaml", "step_minutes: 5", "step_minutes: five")
    replace(federation / "scenarios" / "traffic_districts.yaml", "  n_c: 1", "  n_c: one")
    (federation / "agencies" / "broken.yaml").write_text("agency: [")
    code, lines = validate(federation)
    assert code == EXIT_FINAL
    text = "\n".join(lines)
    for expected in (
        r"new_york\.yaml:\d+: field scenarios\.traffic: .* they do not convert",
        r"los_angeles\.yaml:\d+: field scenarios\.traffic\.step_minutes",
        r"traffic_districts\.yaml:\d+: field secagg\.n_c",
        r"broken\.yaml: not valid YAML",
    ):
        assert re.search(expected, text)
    assert "is unknown; known are" not in text  # the districts' scenario is there, only wrong
    assert "agencies joined" not in text  # who has joined is not known yet


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("scenarios/traffic.yaml", "  n_c: 1", "  n_c: 3", "secagg.t is 3; with 4 agencies and n_c = 3"),
        (
            "scenarios/traffic.yaml",
            "weight_cap: 5000",
            "weight_cap: 10001",
            "learning.weight_cap: 10001 is above 10000",
        ),
        (
            "agencies/new_york.yaml",
            "  traffic:",
            "  trafic:",
            "'trafic' is unknown; known are ",
        ),
        ("agencies/new_york.yaml", "step_minutes: 60", "step_minutes: 7", "7 does not divide the scenario's 60"),
    ],
)
def test_what_does_not_fit_together_is_told(validate, federation, file, old, new, expected):
    replace(federation / file, old, new)
    code, lines = validate(federation)
    assert code == EXIT_FINAL
    assert any(expected in line for line in lines), lines


def test_a_scenario_without_code_or_checks_is_told(validate, federation):
    text = (
        (federation / "scenarios" / "traffic.yaml").read_text().replace("scenario: traffic", "scenario: nothing_here")
    )
    (federation / "scenarios" / "nothing_here.yaml").write_text(text)
    code, lines = validate(federation)
    text = "\n".join(lines)
    assert code == EXIT_FINAL
    assert "add fl_tasks/scenarios/nothing_here.py" in text
    assert "add expectations/nothing_here/suite.py" in text
    assert "nothing_here.yaml: 0 agencies joined; secure aggregation needs 3 to 200" in text


def test_a_folder_that_is_no_federation_is_told(validate, tmp_path):
    code, lines = validate(tmp_path / "home")
    assert code == EXIT_FINAL
    assert "there is no folder scenarios/" in lines[0]
