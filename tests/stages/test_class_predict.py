"""predict of a classifier: the signed champion's scores of an agency's rows, in its own folder and nowhere else."""

from __future__ import annotations

import datetime as dt
import shutil
import stat

import numpy as np
import pytest

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.data import (
    Harmonized,
    Ingested,
    RowCounts,
    deidentified_path,
    features_path,
    ingested_path,
    preparation_path,
)
from fl_tasks.contracts.errors import ConfigError, DataRejected, InputError, MissingInput, PolicyRefused
from fl_tasks.contracts.tensors import load_tensors, save_tensors
from fl_tasks.data.arrays import write_array
from fl_tasks.data.tables.score_files import scores_path
from fl_tasks.data.tables.table import Table, texts, write_table
from fl_tasks.scenarios.class_metrics import probabilities
from fl_tasks.secagg.errors import ChampionRolledBack
from fl_tasks.stages.champions import champions_exchange, record_name
from fl_tasks.stages.context import StageSkipped
from fl_tasks.stages.tables import predict
from fl_tasks.stages.tables.preparation import agreed
from tests.stages.classifier_session import (
    AGENCY,
    OURS,
    SCENARIO,
    THEIRS,
    VERSION,
    Persons,
    Session,
    logits_of,
    weights,
)

pd = pytest.importorskip("pandas")

RUN = f"{SCENARIO}__forecast__1"
ROWS = Persons(40, seed=5)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    Session(folder).install()
    return folder


@pytest.fixture
def session(installed, tmp_path):
    return Session(shutil.copytree(installed, tmp_path / "copy"))


@pytest.fixture
def linear(monkeypatch):
    """Predicts in this process, whatever the job says."""

    def run_job(job, path):
        x = np.load(job.examples / "x.npy")
        save_tensors(job.predictions_out, {n: logits_of(load_tensors(file), x) for n, file in job.weights.items()})

    monkeypatch.setattr(predict, "run_job", run_job)


def spec_of(session):
    return session.spec("predict", run_id=f"forecast.{RUN}")


def prepare(session, persons=ROWS, *, newest=dt.date(2024, 6, 30), scale=OURS):
    """Leave what ingest, anonymize and standardize leave in a forecast run."""
    folder, count = spec_of(session).folder, len(persons.age)
    rows = RowCounts(rows_in=count, rows_out=count, quarantined=0, merged=0)
    table = Harmonized(rows=rows, quarantined_by_reason={}, identifiers={}, present=1.0, newest=newest)
    ingested = Ingested(files=("people.csv",), rows_read=count, corrected=0, months={}, table=table)
    write_atomic(ingested_path(folder), ingested.model_dump_json().encode())
    write_atomic(preparation_path(folder), scale.model_dump_json().encode())
    names = texts([f"hash-{number:02d}" for number in range(count)])
    write_table(deidentified_path(folder), Table({"person": names, "age": persons.age, "income": persons.income}))
    write_array(features_path(folder), persons.x(scale))


def scores(session):
    return pd.read_parquet(scores_path(session.home.agency(AGENCY), SCENARIO, f"forecast.{RUN}"))


def test_each_row_has_the_champions_probability_of_every_class_beside_its_pseudonym(session, linear):
    champion = session.promote(OURS)
    prepare(session)
    predict.run(spec_of(session))
    table = scores(session)
    assert list(table.columns) == [
        *("row", "person", "probability_no", "probability_yes"),
        *("model_version", "model_sha256"),
    ]
    assert list(table.row) == list(range(1, 41))
    assert list(table.person) == [f"hash-{number:02d}" for number in range(40)]
    expected = probabilities(logits_of(weights(2), ROWS.x(OURS)))
    np.testing.assert_allclose(table[["probability_no", "probability_yes"]], expected, rtol=1e-6)
    assert set(table.model_version) == {VERSION}
    assert set(table.model_sha256) == {champion.model_sha256}


def test_scores_lie_in_the_agencys_folder_alone_and_are_the_owners(session, linear):
    session.promote(OURS)
    prepare(session)
    before = {path for path in session.home.root.rglob("*") if path.is_file()}
    predict.run(spec_of(session))
    made = {path for path in session.home.root.rglob("*") if path.is_file()} - before
    folder = session.home.agency(AGENCY)
    assert scores_path(folder, SCENARIO, f"forecast.{RUN}") in made
    assert all(path.is_relative_to(folder) for path in made)
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.suffix != ".lock"} == {0o600}
    assert not [path for path in made if path.name in ("x.npy", "predictions.npz")]
    assert features_path(spec_of(session).folder).exists()


def test_a_second_call_replaces_the_scores(session, linear):
    session.promote(OURS)
    prepare(session)
    first = predict.run(spec_of(session))
    again = predict.run(spec_of(session))
    assert first.digests == again.digests
    prepare(session, Persons(41, seed=6))
    predict.run(spec_of(session))
    assert len(scores(session)) == 41


def test_the_result_holds_no_score_and_no_small_count(session, linear):
    champion = session.promote(OURS)
    prepare(session)
    result = predict.run(spec_of(session))
    assert (result.version, result.counts, result.digests["model"]) == (VERSION, {"rows": 40}, champion.model_sha256)
    assert [ref.name for ref in result.outputs] == [f"scores/{SCENARIO}/forecast.{RUN}/scores.parquet"]
    text = result.model_dump_json()
    assert "hash-" not in text
    assert not [value for value in scores(session).probability_yes if f"{value:.4f}" in text]
    prepare(session, Persons(4))
    assert predict.run(spec_of(session)).counts == {}


def test_without_a_champion_the_stage_skips_and_says_what_to_do(session):
    with pytest.raises(StageSkipped, match=r"no champion yet.*federated_retraining__welfare"):
        predict.run(spec_of(session))


def test_without_a_champion_rows_are_not_even_prepared(session):
    """They would be by the champion's own levels and scale."""
    with pytest.raises(StageSkipped, match=r"no champion yet.*federated_retraining__welfare"):
        agreed(spec_of(session))


def test_rows_of_the_past_are_not_scored(session, linear):
    session.promote(OURS)
    prepare(session, newest=dt.date(2024, 5, 1))
    with pytest.raises(DataRejected, match=r"61 days before 2024-07-01, 60 are admitted .* deliver newer"):
        predict.run(spec_of(session))
    prepare(session, newest=dt.date(2024, 5, 2))
    assert predict.run(spec_of(session)).status == "done"


def test_rows_that_were_prepared_for_another_champion_are_not_scored(session, linear):
    session.promote(THEIRS)
    prepare(session, scale=OURS)
    with pytest.raises(MissingInput, match=r"not that of version 7.*run anonymize and standardize"):
        predict.run(spec_of(session))
    preparation_path(spec_of(session).folder).unlink()
    with pytest.raises(MissingInput, match="not that of version 7"):
        predict.run(spec_of(session))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"output_shape": (3,)}, "tells 3 classes apart"), ({"input_shape": (7,)}, r"reads examples of shape \(7,\)")],
)
def test_a_champion_of_other_classes_or_examples_is_refused(session, linear, change, said):
    session.promote(OURS, **change)
    prepare(session)
    with pytest.raises(ConfigError, match=f"version 7 of welfare {said}"):
        predict.run(spec_of(session))


def test_stages_that_have_not_run_and_files_that_do_not_belong_together_are_named(session, linear):
    session.promote(OURS)
    prepare(session)
    features_path(spec_of(session).folder).unlink()
    with pytest.raises(MissingInput, match=r"features\.npy .* run standardize"):
        predict.run(spec_of(session))
    write_array(features_path(spec_of(session).folder), Persons(39).x(OURS))
    with pytest.raises(InputError, match="different rows"):
        predict.run(spec_of(session))
    deidentified_path(spec_of(session).folder).unlink()
    with pytest.raises(MissingInput, match=r"deidentified\.parquet"):
        predict.run(spec_of(session))


def test_no_row_at_all_is_an_error_and_not_an_empty_file(session, linear):
    session.promote(OURS)
    prepare(session, Persons(0))
    with pytest.raises(DataRejected, match="no row is left"):
        predict.run(spec_of(session))


def test_a_model_beyond_the_agencys_policy_is_not_used(session, linear):
    session.promote(OURS)
    prepare(session)
    policy = session.home.agency(AGENCY) / "policy.yaml"
    policy.write_text(policy.read_text().replace("logistic: 1", "mlp: 8"))
    with pytest.raises(PolicyRefused, match="logistic with 1 units"):
        predict.run(spec_of(session))


def test_a_chain_that_was_cut_is_noticed(session, linear):
    session.promote(OURS)
    prepare(session)
    predict.run(spec_of(session))
    (champions_exchange(spec_of(session))._root / record_name(1)).unlink()
    with pytest.raises(ChampionRolledBack):
        predict.run(spec_of(session))


def test_the_real_learning_process_scores_alike(session):
    session.promote(OURS)
    prepare(session)
    predict.run(spec_of(session))
    expected = probabilities(logits_of(weights(2), ROWS.x(OURS)))
    np.testing.assert_allclose(scores(session).probability_yes, expected[:, 1], rtol=1e-5)
