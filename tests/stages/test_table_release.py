"""Releasing rows by given levels: what is missing in a sensitive column counts as a value, wrong levels are named."""

from __future__ import annotations

import numpy as np
import pytest

from fl_tasks.anonymize.errors import ValueNotCovered
from fl_tasks.anonymize.hierarchy import build
from fl_tasks.contracts.anonymize import PrivacyPolicy, PrivacyReport
from fl_tasks.contracts.errors import ConfigError, DataRejected
from fl_tasks.data.tables.table import Table, texts
from fl_tasks.stages.tables.release import generalized, release, require_policy
from tests.data.tables.declared import config

HIERARCHIES = {"sex": build("sex", [["f", "m"], ["*", "*"]], where="sex")}
COLUMNS = (
    {"column": "sex", "role": "quasi_identifier", "values": ("f", "m"), "hierarchy": "sex.csv"},
    {"column": "debt", "role": "sensitive", "kind": "numeric", "minimum": 0.0, "maximum": 9.0, "optional": True},
    {"column": "poor", "role": "target", "values": ("no", "yes")},
)
TABLE = Table(
    {
        "sex": texts(["f", "f", "m", "m"]),
        "debt": np.array([np.nan, 1.0, 2.0, 3.0]),
        "poor": texts(["no", "yes", "no", "yes"]),
    }
)


def test_a_missing_number_is_a_value_of_its_own():
    found = release(TABLE, config(COLUMNS, privacy={"k": 2, "l": 2}), {"sex": 0}, HIERARCHIES, where="rows")
    assert found.kept.all()
    assert found.report(PrivacyPolicy(k=2, l=2), sha256="0" * 64).l == 2


def test_levels_that_the_hierarchies_have_not_are_refused():
    for levels in ({}, {"sex": 2}, {"sex": -1}):
        with pytest.raises(ConfigError, match="column 'sex': level"):
            generalized(TABLE, levels, HIERARCHIES, where="rows")


def test_a_value_outside_its_hierarchy_is_named_by_row():
    odd = TABLE.replaced({"sex": texts(["f", "x", "m", "m"])})
    with pytest.raises(ValueNotCovered, match="rows: column 'sex': row 2"):
        generalized(odd, {"sex": 1}, HIERARCHIES, where="rows")


def test_a_report_that_misses_its_policy_is_refused_by_the_limits_names():
    found = release(TABLE, config(COLUMNS, privacy={"k": 2}), {"sex": 0}, HIERARCHIES, where="rows")
    report = found.report(PrivacyPolicy(k=3, l=3), sha256="0" * 64)
    assert isinstance(report, PrivacyReport)
    with pytest.raises(DataRejected, match="misses the policy in k, l"):
        require_policy(report, "rows")
