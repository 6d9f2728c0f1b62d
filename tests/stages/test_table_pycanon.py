"""pyCANON, which shares no code with ours, measures on an agency's released file what its privacy report says."""

from __future__ import annotations

import pytest

from fl_tasks.contracts.anonymize import PrivacyReport
from fl_tasks.contracts.data import deidentified_path, privacy_path
from fl_tasks.data.tables.table import read_table
from tests.anonymize.test_pycanon import oracle  # noqa: F401 - a fixture
from tests.stages.table_stages import (
    LEVELS,
    SCENARIO_YAML,
    agreed,  # noqa: F401 - a fixture
    changed,
    folder_of,
    make_home,
    people,
    run_until,
)


@pytest.mark.usefixtures("agreed")
@pytest.mark.parametrize("policy", ["{k: 5, suppression: 0.1}", "{k: 20, l: 2, t: 0.15, suppression: 0.5}"])
def test_pycanon_agrees_on_what_an_agency_releases(tmp_path, oracle, policy):  # noqa: F811
    home = make_home(tmp_path, people(300), scenario=changed(SCENARIO_YAML, ("{k: 5, l: 1, suppression: 0.1}", policy)))
    run_until(home, "anonymize")
    folder = folder_of(home)
    report = PrivacyReport.model_validate_json(privacy_path(folder).read_bytes())
    released = read_table(deidentified_path(folder)).columns
    columns = {name: released[name].tolist() for name in (*LEVELS, "health", "entitled")}
    theirs = oracle(columns, list(LEVELS), ["health", "entitled"])
    assert (theirs["k"], theirs["l"]) == (report.k, report.l)
    assert theirs["t"] == pytest.approx(report.t, abs=1e-9)
    assert report.rows_out == len(released["health"])
