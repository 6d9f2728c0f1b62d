"""A wrong configuration is refused with the file, the line and the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from fl_tasks.contracts.config import ScenarioConfig, load_federation, load_scenario, load_yaml
from fl_tasks.contracts.errors import ConfigError

FEDERATION = Path(__file__).parents[2] / "dags" / "federation"


@pytest.fixture
def scenario(tmp_path):
    """Write the real scenario with one text replaced, load it, and give the message and the line of `at`."""

    def load(old: str, new: str, at: str) -> tuple[str, int]:
        text = (FEDERATION / "scenarios" / "traffic_districts.yaml").read_text()
        assert old in text
        text = text.replace(old, new, 1)
        path = tmp_path / "traffic_districts.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_yaml(path, ScenarioConfig)
        return str(caught.value), text[: text.index(at)].count("\n") + 1

    return load


def test_the_repositorys_own_federation_loads():
    federation = load_federation(FEDERATION)
    assert [agency.agency for agency in federation.members("traffic_districts")] == [
        "district_northeast",
        "district_northwest",
        "district_southeast",
        "district_southwest",
    ]


@pytest.mark.parametrize(
    ("old", "new", "at", "field"),
    [
        ("  wanted: 10", "  wanted: 10\n  wantd: 3", "wantd", "rounds.wantd"),
        ("  wanted: 10", "  wanted: ten", "wanted:", "rounds.wanted"),
        ("  clip: 20.0", "  clip: 1e-6", "clip:", "secagg.clip"),  # PyYAML reads 1e-6 as text
        ("  clip: 20.0", "  clip: -1.0", "clip:", "secagg.clip"),
        ("timezone: America/Los_Angeles", "timezone: America/Los_Angles", "timezone:", "schedule.timezone"),
        ("train: 0.7", "train: 0.8", "split:", "data.split"),
        ("name: adam", "name: adamw", "name: adamw", "learning.client_optimizer.name"),
        ("  n_c: 1\n", "", "secagg:", "secagg.n_c"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_and_line(scenario, old, new, at, field):
    message, line = scenario(old, new, at)
    assert f"traffic_districts.yaml:{line}: field {field}" in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file"):
        load_scenario(tmp_path, "nowhere")


def test_text_that_is_no_yaml_is_named(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: [1, 2\n")
    with pytest.raises(ConfigError, match=r"x\.yaml: not valid YAML"):
        load_yaml(path, ScenarioConfig)
