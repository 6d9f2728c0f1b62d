"""predict: an agency scores its own rows with the champion. The scores stay in its own folder."""

from __future__ import annotations

import datetime as dt
import logging
import os

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import make_private_folder, sha256_file
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.data import deidentified_path, features_path, preparation_path
from fl_tasks.contracts.errors import ConfigError, DataRejected, InputError, MissingInput
from fl_tasks.contracts.jobs import PredictJob
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.tensors import Tensors, load_tensors, save_tensors
from fl_tasks.data.small_cells import publishable
from fl_tasks.data.tables.declaration import Declared
from fl_tasks.data.tables.score_files import Scores, scores_path, write_scores
from fl_tasks.data.tables.table import Table, read_table
from fl_tasks.scenarios import load
from fl_tasks.stages.champions import NoChampion, accept_champion
from fl_tasks.stages.context import StageSkipped
from fl_tasks.stages.learning_process import run_job
from fl_tasks.stages.lineage import as_input, champion_ref, facts_of, of_run, own
from fl_tasks.stages.policy import open_gate
from fl_tasks.stages.tables import lineage
from fl_tasks.stages.tables.ingest import declared_of, read_ingested, span_of, table_of

log = logging.getLogger(__name__)

_MODEL = "champion"


def run(spec: StageSpec) -> StageResult:
    """Score every row with today's champion; a second call replaces the file.

    Raises:
        StageSkipped: If no model was promoted yet.
        MissingInput: If standardize has not run, or ran before another champion was promoted.
        ConfigError: If the champion tells other classes apart than the scenario, or reads other pictures.
        DataRejected: If the newest row is too old, or there is none.
        InputError: If the run's files do not belong together.
        ProtocolError: If the champion is not the coordinator's, or older than one used here before.
        PolicyRefused: If the agency's policy does not admit the champion's architecture or number of parameters.
    """
    agency = str(spec.agency)
    config = load_scenario(spec.federation, spec.scenario).table
    try:
        champion, weights = accept_champion(spec)
    except NoChampion as error:
        raise StageSkipped(
            f"{error}; run the DAG federated_retraining__{spec.scenario}, and read its report if it was held"
        ) from error
    open_gate(spec).check_model(champion.model, sum(array.size for array in weights.values()))
    check_classes(champion, config)
    check_preparation(spec, champion)
    check_age(table_of(read_ingested(spec)).newest, span_of(spec)[1], config.quality.max_age_days)
    table, x = read_table(deidentified_path(spec.folder)), features(spec)
    check_rows(table, x, champion)
    scores = Scores(
        pseudonyms=pseudonyms(table, declared_of(spec)),
        classes=config.classes,
        probabilities=load(spec.scenario).probabilities(_logits(spec, champion, weights)),
        version=champion.version,
        model_sha256=champion.model_sha256,
    )
    folder = spec.places.agency(agency)
    path = scores_path(folder, spec.scenario, spec.run_id)
    write_scores(path, scores)
    digest = sha256_file(path)
    log.info("stage=predict agency=%s version=%d sha256=%s", agency, champion.version, digest)
    return StageResult(
        stage="predict",
        status="done",
        version=champion.version,
        counts=publishable({"rows": len(table)}),
        digests={"scores": digest, "model": champion.model_sha256},
        inputs=(
            champion_ref(champion),
            of_run(spec, features_path(spec.folder).name, as_input(lineage.features(config))),
            of_run(spec, deidentified_path(spec.folder).name),
        ),
        outputs=(
            own(spec, path.relative_to(folder).as_posix(), facts_of(lineage.scores(list(scores.pseudonyms), of=1))),
        ),
    )


def check_classes(champion: ChampionBody, config: TableConfig) -> None:
    """Refuse a champion of other classes than the scenario has now, by their number; raises ConfigError."""
    if champion.model.output_shape != (len(config.classes),):
        raise ConfigError(
            f"version {champion.version} of {champion.scenario} tells {champion.model.output_shape[0]} classes apart, "
            f"the scenario now has {len(config.classes)}: retrain, or set data.classes back until a new model is "
            "promoted"
        )


def check_preparation(spec: StageSpec, champion: ChampionBody) -> None:
    """Refuse rows that were prepared for another champion: one was promoted in between; raises MissingInput."""
    wanted, path = champion.model.preparation, preparation_path(spec.folder)
    if wanted is None:
        return
    if not path.exists() or Preparation.model_validate_json(path.read_bytes()) != wanted:
        raise MissingInput(
            f"{path.name} is not that of version {champion.version}, the champion: run anonymize and standardize of "
            "this run again"
        )


def check_age(newest: dt.date, end: dt.date, limit: int) -> None:
    """Refuse rows of which a score would be one of the past.

    Args:
        newest: Newest day that a row speaks of.
        end: The day after the run's last one.
        limit: Days before `end` at which `newest` may lie.

    Raises:
        DataRejected: If it lies earlier; the message names its age.
    """
    age = (end - newest).days
    if age > limit:
        raise DataRejected(
            f"the newest row speaks of a day {age} days before {end}, {limit} are admitted (the scenario's "
            "data.quality.max_age_days): deliver newer rows and run ingest again, or score for the interval that the "
            "data belong to"
        )


def features(spec: StageSpec) -> NDArray[np.float32]:
    """Map what standardize left of the run's rows into memory; raises MissingInput."""
    path = features_path(spec.folder)
    try:
        x: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise MissingInput(f"{path.name} of this run is not there yet; run standardize first") from error
    return x


def check_rows(table: Table, x: NDArray[np.float32], champion: ChampionBody) -> None:
    """Hold the features against the rows, and against what the champion reads.

    Raises:
        DataRejected: If there is no row.
        InputError: If they are of other rows.
        ConfigError: If they are other pictures than the champion was trained on.
    """
    if len(table) == 0:
        raise DataRejected("no row is left to be scored; the run's quarantine says why rows were rejected")
    if len(x) != len(table):
        raise InputError("features.npy and deidentified.parquet hold different rows; run standardize again")
    if x.shape[1:] != champion.model.input_shape:
        raise ConfigError(
            f"version {champion.version} of {champion.scenario} reads examples of shape {champion.model.input_shape}, "
            f"the scenario now gives {x.shape[1:]}: retrain, or set data.image back until a new model is promoted"
        )


def pseudonyms(table: Table, declared: Declared) -> dict[str, NDArray[np.generic]]:
    """Return the columns by which the agency finds its rows again: hashes of the key and of identifiers."""
    names = [column.column for column in declared.config.of("key")]
    names += [name for name, fate in declared.identifiers.items() if fate == "hash"]
    return {name: table.columns[name] for name in names if name in table.columns}


def _logits(spec: StageSpec, champion: ChampionBody, weights: Tensors) -> NDArray[np.generic]:
    """Let the learning process predict, shape (n, classes); what it wrote is deleted."""
    work = spec.folder / "jobs" / "predict"
    job = PredictJob(
        model=champion.model,
        weights={_MODEL: work / "weights.npz"},
        examples=work,
        predictions_out=work / "predictions.npz",
    )
    x = work / "x.npy"
    try:
        save_tensors(job.weights[_MODEL], weights)
        make_private_folder(work)
        x.unlink(missing_ok=True)
        os.link(features_path(spec.folder), x)
        run_job(job, work / "job.json")
        return load_tensors(job.predictions_out)[_MODEL]
    finally:
        for path in (x, job.predictions_out):
            path.unlink(missing_ok=True)
