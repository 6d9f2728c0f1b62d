"""docs/dags.md is made from the DAG files."""

import pytest
from fl_airflow import catalogue
from fl_airflow.installation import FEDERATION

from fl_tasks.contracts.config import load_federation


@pytest.fixture(scope="module")
def text():
    return catalogue.catalogue()


def test_the_catalogue_of_dags_is_up_to_date(text):
    assert catalogue.CATALOGUE.read_text() == text, "run: python -m fl_airflow.catalogue"


def test_the_catalogue_names_every_dag_once_and_no_place_of_this_machine(text):
    for scenario in load_federation(FEDERATION).scenarios:
        for dag in ("federated_retraining", "forecast", "model_rollback", "drift_watch"):
            assert text.count(f"| `{dag}__{scenario}` |") == 1
    assert str(FEDERATION.parents[1]) not in text


def test_a_stale_catalogue_is_said_and_not_mended_by_a_check(tmp_path, monkeypatch, capsys):
    page = tmp_path / "dags.md"
    monkeypatch.setattr(catalogue, "CATALOGUE", page)
    assert catalogue.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert catalogue.main([]) == 0
    assert catalogue.main(["--check"]) == 0
    page.write_text(page.read_text().replace("by hand", "by foot"))
    assert catalogue.main(["--check"]) == 1
    assert "by foot" in page.read_text()
