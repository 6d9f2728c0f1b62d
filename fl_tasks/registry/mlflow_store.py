"""MLflow's view: one experiment and one registered model a scenario, one run a federated run, two aliases.

The signed chain in the exchange says who is champion; MLflow stands behind it for people and their tools, and is
repaired from it. By default everything lies in one SQLite file and a folder of the coordinator; MLFLOW_TRACKING_URI
names a server instead. No count of rows, no row and no name of a person or machine goes there.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from fl_tasks.contracts.base import make_private_folder
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.report import Evaluation, EvaluationBody, GateReport, RoundRecord

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
RUN_TAG, MODEL_TAG = "huiliu.run_id", "huiliu.model_sha256"
START_TAG, END_TAG = "huiliu.data_interval_start", "huiliu.data_interval_end"
DECISION_TAG, REASON_TAG = "huiliu.gate", "huiliu.gate_reason"

# The model of a run among its artifacts; `models:/<scenario>@champion` names this folder.
MODEL_FOLDER = "model"
_MODEL_FILES = ("model.npz", "model.json")
# MLflow takes at most 1000 metrics in one call.
_BATCH = 1000
# Set before the import; the second kind only where the operator has not.
_ALWAYS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_UNLESS_SET = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
# Where MLflow puts its own experiment `Default`; else it would note the folder that the process was started in.
_DEFAULT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"


class RegistryUnavailable(FLError):
    """MLflow did not answer, or refused; the chain of champions is not touched by that."""

    retryable = True


class RegistryConflict(FLError):
    """MLflow holds another model under a version than the chain of champions."""


@dataclass(frozen=True)
class ModelFacts:
    """A model and the run that made it."""

    run_id: str
    data_interval: tuple[dt.datetime, dt.datetime]
    sha256: str
    model: ModelSpec
    weights: bytes

    @property
    def tags(self) -> dict[str, str]:
        """What a run and its model version are found by."""
        start, end = self.data_interval
        return {
            RUN_TAG: self.run_id,
            MODEL_TAG: self.sha256,
            START_TAG: start.isoformat(),
            END_TAG: end.isoformat(),
        }


@dataclass(frozen=True)
class RunFacts:
    """What is logged of a federated run beside its model."""

    config_sha256: str
    cohort: tuple[str, ...]
    t: int
    rounds: tuple[RoundRecord, ...]
    evaluations: dict[str, EvaluationBody]
    gate: GateReport

    def parameters(self) -> dict[str, str]:
        """The run's fixed facts."""
        return {
            "config_sha256": self.config_sha256,
            "rounds": str(len(self.rounds)),
            "cohort": str(len(self.cohort)),
            "t": str(self.t),
        }

    def metrics(self) -> Iterator[tuple[str, float, int]]:
        """Give name, value and step: the rounds by their number, the evaluation at the last one."""
        for record in self.rounds:
            yield "loss", record.loss, record.round
            yield "survivors", float(len(record.survivors)), record.round
            yield "seconds", record.seconds, record.round
            if record.validation_loss is not None:
                yield "validation_loss", record.validation_loss, record.round
        last = self.rounds[-1].round if self.rounds else 0
        for name, value in _evaluation_metrics({agency: b.evaluation for agency, b in self.evaluations.items()}):
            yield name, value, last

    def summary(self) -> dict[str, object]:
        """The facts as one JSON artifact."""
        return {
            "config_sha256": self.config_sha256,
            "cohort": list(self.cohort),
            "units": {agency: body.unit for agency, body in self.evaluations.items()},
            "gate": self.gate.model_dump(mode="json"),
        }


def _evaluation_metrics(evaluations: dict[str, Evaluation]) -> Iterator[tuple[str, float]]:
    """Errors by agency in its own unit and scaled; `overall` is the scaled ones' mean over the agencies."""
    scaled: dict[str, list[float]] = {}
    for agency, evaluation in evaluations.items():
        for kind in Evaluation.model_fields:
            for horizon, metric in getattr(evaluation, kind).items():
                # MLflow's own alphabet for names; a horizon is free text.
                end = f"{kind}/{re.sub(r'[^A-Za-z0-9_. -]', '_', horizon)}"
                for name in metric.tracked:
                    if getattr(metric, name) is not None:
                        yield f"evaluation/{agency}/{end}/{name}", getattr(metric, name)
                for name in metric.comparable:
                    if getattr(metric, name) is not None:
                        scaled.setdefault(f"{end}/{name}", []).append(getattr(metric, name))
    for end, values in scaled.items():
        yield f"evaluation/overall/{end}", fmean(values)


@contextmanager
def open_store(folder: Path, scenario: str) -> Iterator[MlflowStore]:
    """Open MLflow, one process of this installation at a time (SQLite has one writer).

    Args:
        folder: The coordinator's folder for database and artifacts, used unless MLFLOW_TRACKING_URI is set.
        scenario: Name of experiment and registered model.

    Raises:
        RegistryUnavailable: Whatever MLflow raises inside.
    """
    os.environ.update(_ALWAYS)
    for name, value in _UNLESS_SET.items():
        os.environ.setdefault(name, value)
    os.environ[_DEFAULT_ROOT] = (folder / "artifacts").as_uri()
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    make_private_folder(folder)
    server = os.environ.get("MLFLOW_TRACKING_URI")
    uri = server or f"sqlite:///{folder / 'mlflow.db'}"
    artifacts = None if server else (folder / "artifacts" / scenario).as_uri()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield MlflowStore(MlflowClient(tracking_uri=uri, registry_uri=uri), scenario, artifacts)
        except MlflowException as error:
            raise RegistryUnavailable(
                f"MLflow refused or did not answer ({error.error_code}): look after it "
                "(MLFLOW_TRACKING_URI, or the coordinator's mlflow folder); the task is tried again"
            ) from error


class MlflowStore:
    """One scenario in MLflow. Every method may be called again: it finds what it made before."""

    def __init__(self, client: MlflowClient, scenario: str, artifacts: str | None) -> None:
        self._client = client
        self._name = scenario
        self._artifacts = artifacts

    def log_run(self, model: ModelFacts, facts: RunFacts) -> None:
        """Log a federated run: parameters, metrics by round, evaluation, gate, model."""
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

        run = self._run(model)
        # The run's own start as time of every value: logged twice is then logged once.
        time = run.info.start_time
        metrics = [Metric(name, value, time, step) for name, value, step in facts.metrics()]
        params = [Param(name, value) for name, value in facts.parameters().items()]
        tags = [RunTag(DECISION_TAG, facts.gate.decision), RunTag(REASON_TAG, facts.gate.reason)]
        self._client.log_batch(run.info.run_id, (), params, tags)
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(run.info.run_id, metrics[start : start + _BATCH])
        self._client.log_dict(run.info.run_id, facts.summary(), "facts.json")
        self._client.set_terminated(run.info.run_id, "FINISHED")

    def register(self, model: ModelFacts) -> int:
        """Return the version of a run's model, made if it is not there."""
        for version in self._versions():
            if (version.tags.get(RUN_TAG), version.tags.get(MODEL_TAG)) == (model.run_id, model.sha256):
                return int(version.version)
        return self._new_version(model)

    def point(self, alias: str, version: int) -> None:
        """Let an alias name a version."""
        self._client.set_registered_model_alias(self._name, alias, str(version))

    def repair(self, chain: list[ChampionBody], weights: Callable[[ChampionBody], bytes]) -> None:
        """Bring MLflow to what the chain says: who was champion is there, under its number, and the alias is right.

        Args:
            chain: The verified records.
            weights: Gives a champion's weights as npz.

        Raises:
            RegistryConflict: If a version of the chain is another model in MLflow.
        """
        known = {int(version.version): version.tags.get(MODEL_TAG, "") for version in self._versions()}
        highest = max(known, default=0)
        promotions = {body.version: body for body in chain if body.action == "promote"}
        for number, body in sorted(promotions.items()):
            if number > highest:
                known[self._restore(body, weights(body))] = body.model_sha256
            elif known.get(number, body.model_sha256) != body.model_sha256:
                raise RegistryConflict(
                    f"MLflow's model {self._name} version {number} is not the one that was promoted as this version: "
                    "it was restored, or is another installation's; give this installation an MLflow of its own"
                )
        if chain:
            champion = chain[-1]
            same = [number for number, sha256 in known.items() if sha256 == champion.model_sha256]
            # Somebody may have deleted it in MLflow, where a number is never given twice: then it gets a new one.
            number = champion.version if champion.version in known else max(same, default=0)
            self.point(CHAMPION, number or self._new_version(_facts(champion, weights(champion))))

    def _versions(self) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"name = '{self._name}'"))

    def _restore(self, body: ChampionBody, weights: bytes) -> int:
        """Make a version that MLflow lost, under its old number if that is not given away."""
        while (number := self._new_version(_facts(body, weights))) < body.version:
            # A number between promotions: its model was held, and nobody needs it any more.
            self._client.delete_model_version(self._name, str(number))
        return number

    def _new_version(self, model: ModelFacts) -> int:
        run = self._run(model)
        if not self._client.search_registered_models(f"name = '{self._name}'"):
            self._client.create_registered_model(self._name)
        made = self._client.create_model_version(
            self._name, f"{run.info.artifact_uri}/{MODEL_FOLDER}", run.info.run_id, tags=model.tags
        )
        return int(made.version)

    def _run(self, model: ModelFacts) -> Run:
        """Find a federated run by its tag, or make it with its model."""
        experiment = self._client.get_experiment_by_name(self._name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(self._name, self._artifacts)
        found = self._client.search_runs([number], f"tags.`{RUN_TAG}` = '{model.run_id}'", max_results=1)
        # Its own name and no `mlflow.user`: MLflow would otherwise draw a name, and asks the machine for none.
        run = found[0] if found else self._client.create_run(number, tags=model.tags, run_name=model.run_id)
        if len(self._client.list_artifacts(run.info.run_id, MODEL_FOLDER)) < len(_MODEL_FILES):
            with tempfile.TemporaryDirectory() as folder:
                weights, description = (Path(folder) / name for name in _MODEL_FILES)
                weights.write_bytes(model.weights)
                description.write_text(json.dumps(model.model.model_dump(mode="json"), indent=1))
                self._client.log_artifacts(run.info.run_id, folder, MODEL_FOLDER)
        return run


def _facts(body: ChampionBody, weights: bytes) -> ModelFacts:
    return ModelFacts(body.run_id, body.data_interval, body.model_sha256, body.model, weights)
