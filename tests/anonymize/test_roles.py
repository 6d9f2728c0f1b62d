"""Roles and limits: one place each, contradictions refused with file, line and field."""

from __future__ import annotations

import pytest

from fl_tasks.contracts.anonymize import AnonymizeConfig
from fl_tasks.contracts.config import load_yaml
from fl_tasks.contracts.errors import ConfigError

GOOD = """
columns:
  - {column: 身份证, role: direct_identifier, treatment: hash}
  - {column: age, role: quasi_identifier, kind: numeric, hierarchy: age.csv}
  - {column: income, role: sensitive, kind: numeric}
  - {column: hours, role: feature}
  - {column: poor, role: target}
  - {column: household, role: key}
policy: {k: 5, l: 2, t: 0.4, suppression: 0.05}
"""


def load(folder, text):
    path = folder / "roles.yaml"
    path.write_text(text, encoding="utf-8")
    return load_yaml(path, AnonymizeConfig)


def test_every_role_is_read(tmp_path):
    config = load(tmp_path, GOOD)
    assert [column.column for column in config.of("quasi_identifier")] == ["age"]
    assert config.of("sensitive")[0].kind == "numeric"
    assert (config.policy.k, config.policy.diversity) == (5, "distinct")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("role: feature", "role: secret", "columns.3.role"),
        ("column: hours", "column: age", "column 'age' is there twice"),
        ("role: feature", "role: feature, hierarchy: x.csv", "a hierarchy belongs to role quasi_identifier"),
        (", treatment: hash", "", "treatment belongs to role direct_identifier, which needs it"),
        ("role: target", "role: target, treatment: drop", "treatment belongs to role direct_identifier"),
        ("quasi_identifier, kind: numeric, hierarchy: age.csv", "feature", "at least one quasi_identifier"),
        ("role: sensitive", "role: feature", "l and t are measured on a sensitive column"),
        ("k: 5", "k: 1", "policy.k"),
        ("k: 5", 'k: "5"', "policy.k"),
        ("t: 0.4", "t: 1.5", "policy.t"),
        ("suppression: 0.05", "suppression: 0.6", "policy.suppression"),
        ("suppression: 0.05", "limit: 0.05", "policy.limit"),
    ],
)
def test_a_contradiction_is_refused_with_file_and_field(tmp_path, old, new, said):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert "roles.yaml:" in str(caught.value)
    assert said in str(caught.value)
