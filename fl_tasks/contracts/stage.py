"""What goes into a stage and what comes out: the contract between the scheduler and the work.

A stage is one process: `fl run STAGE --spec spec.json`. It exits 0 and leaves a StageResult, or it exits 10
(final error) or 1 (worth a retry). A result holds allow-listed fields only: it travels through XCom.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fl_tasks.contracts.approval import Approval
from fl_tasks.contracts.base import Contract, Name, RunId, Sha256, describe, write_atomic
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.lineage import DatasetFacts
from fl_tasks.contracts.paths import Home

EXIT_FINAL = 10
EXIT_RETRY = 1

AGENCY_STAGES = (
    "receive",
    *("ingest", "anonymize", "standardize", "validate"),
    *("keys", "shares", "ready", "train", "ack", "reveal", "evaluate"),
    *("predict", "count", "watch"),
)
COORDINATOR_STAGES = (
    "plan",
    *("cohort", "list", "close", "manifest", "aggregate", "close_round"),
    *("gate", "promote", "report", "verdict"),
    *("rollback", "survey", "recode", "drift"),
)
ROUND_STAGES = ("train", "count", "manifest", "ack", "reveal", "aggregate", "close_round")
# A survey is a run of its own beside the retraining that it prepares: these belong to it alone, and these to both.
SURVEY_STAGES = ("survey", "count", "recode")
SESSION_STAGES = ("keys", "list", "shares", "ready", "close", "manifest", "ack", "reveal")
SURVEY_PREFIX = "survey."
# What runs of the other kinds may do, by the beginning of their ids; a retraining has none. A run of another kind never
# does a retraining's work: an agency's data officer is asked about retrainings.
_OTHER_KINDS = {
    SURVEY_PREFIX: SURVEY_STAGES + SESSION_STAGES,
    "forecast.": ("ingest", "anonymize", "standardize", "predict"),
    "watch.": ("ingest", "anonymize", "standardize", "watch", "drift"),
    "rollback.": ("rollback",),
}
Stage = Literal[
    "plan",
    "receive",
    "ingest",
    "anonymize",
    "standardize",
    "validate",
    "cohort",
    "keys",
    "list",
    "shares",
    "ready",
    "close",
    "train",
    "manifest",
    "ack",
    "reveal",
    "aggregate",
    "close_round",
    "evaluate",
    "gate",
    "promote",
    "report",
    "verdict",
    "predict",
    "rollback",
    "survey",
    "count",
    "recode",
    "watch",
    "drift",
]


class StageRequest(Contract):
    """One unit of work. Stage, run and interval come from the scheduler; what to do is the scenario's YAML.

    No word on where anything lies: whoever does it takes its own folders.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    stage: Stage
    scenario: Name
    run_id: RunId = Field(description="<scenario>__<Airflow run id>, or <kind>.<scenario>__<Airflow run id>.")
    data_interval: tuple[dt.datetime, dt.datetime] = Field(description="[start, end), with their UTC offset.")
    agency: Name | None = Field(default=None, description="Whose stage it is; none at the coordinator.")
    round: Annotated[int, Field(ge=1, le=250)] | None = Field(default=None, description="From 1, in a round.")
    rounds: Annotated[int, Field(ge=1, le=200)] | None = Field(
        default=None, description="Fewer rounds than the scenario wants, from a manual run's parameters."
    )
    agencies: tuple[Name, ...] | None = Field(
        default=None, description="Fewer agencies than the roster has, from a manual run's parameters."
    )
    dry_run: bool = Field(default=False, description="Prepare the data, say what a run would use, and stop there.")
    local_only: bool = Field(
        default=True, description="evaluate: also train a model on the agency's data alone, to compare with."
    )
    version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="rollback: version to restore; by default the champion's predecessor."
    )
    run_started: dt.datetime | None = Field(default=None, description="When the scheduler started the run.")
    seconds_by_stage: dict[Stage, float] = Field(
        default_factory=dict, description="Summed run time of earlier stages, seconds; only for the report."
    )
    approval: Approval | None = Field(
        default=None, description="promote, report: what a person said of the promotion, where the scenario asks."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.agency is not None) != (self.stage in AGENCY_STAGES):
            raise ValueError(f"stage {self.stage}: agency must be {'set' if self.agency is None else 'left out'}")
        if (self.round is not None) != (self.stage in ROUND_STAGES):
            raise ValueError(f"stage {self.stage}: round must be {'set' if self.round is None else 'left out'}")
        # The name becomes a folder beside those of other scenarios and of the registry.
        if not re.match(rf"([a-z]+\.)?{self.scenario}__.", self.run_id):
            raise ValueError(f"run_id must be {self.scenario}__<Airflow run id>, or <kind>.{self.scenario}__<...>")
        kind = self.run_id[: self.run_id.index(f"{self.scenario}__")]
        if kind and kind not in _OTHER_KINDS:
            raise ValueError(f"run_id begins with {kind!r}; needed is one of {', '.join(_OTHER_KINDS)}, or none")
        if self.stage not in _OTHER_KINDS[kind] if kind else self.stage in SURVEY_STAGES:
            raise ValueError(f"stage {self.stage}: is none of a {kind.removesuffix('.') or 'retraining'}")
        start, end = self.data_interval
        if start.tzinfo is None or end.tzinfo is None or not start < end:
            raise ValueError("data_interval must be two times with a UTC offset, the first before the second")
        return self

    @property
    def surveys(self) -> bool:
        """Whether the run is a survey, not a retraining, forecast or rollback."""
        return self.run_id.startswith(SURVEY_PREFIX)

    @property
    def retrains(self) -> bool:
        """Whether the run is a retraining."""
        return self.run_id.startswith(f"{self.scenario}__")

    @property
    def prepares(self) -> bool:
        """Whether the run is a retraining, or the survey that comes before one."""
        return self.prepared_run_id.startswith(f"{self.scenario}__")

    @property
    def survey_run_id(self) -> str:
        """The survey of this run, or the run itself if it is one."""
        return self.run_id if self.surveys else f"{SURVEY_PREFIX}{self.run_id}"

    @property
    def prepared_run_id(self) -> str:
        """The retraining whose data a survey sums up, or the run itself if it is none."""
        return self.run_id.removeprefix(SURVEY_PREFIX)

    @property
    def label(self) -> str:
        """The stage's file name: its name and, in a round, the round's number."""
        return self.stage if self.round is None else f"{self.stage}-{self.round}"


class StageSpec(StageRequest):
    """A unit of work, and where the installation that does it has its files."""

    home: Path = Field(description="The installation's home folder, absolute.")
    federation: Path = Field(description="The folder with scenarios/ and agencies/, absolute.")

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        if not all(path.is_absolute() and ".." not in path.parts for path in (self.home, self.federation)):
            raise ValueError("home and federation must be absolute paths without ..")
        return self

    @classmethod
    def of(cls, request: StageRequest, home: Path, federation: Path) -> StageSpec:
        """Return what a request becomes in an installation."""
        return cls(**_asked(request), home=home, federation=federation)

    @property
    def request(self) -> StageRequest:
        """What is asked for, without the places."""
        return StageRequest(**_asked(self))

    @property
    def places(self) -> Home:
        """The installation's folders."""
        return Home(self.home)

    @property
    def folder(self) -> Path:
        """The run's working folder of whoever does this stage."""
        if self.agency is None:
            return self.places.coordinator_run(self.run_id)
        return self.places.agency_run(self.agency, self.run_id)

    @property
    def spec_path(self) -> Path:
        """Where the scheduler writes this spec."""
        return self.folder / "specs" / f"{self.label}.json"

    @property
    def result_path(self) -> Path:
        """Where the stage leaves its result."""
        return self.folder / "results" / f"{self.label}.json"

    @property
    def failure_path(self) -> Path:
        """Where a stage that failed for good leaves what may be told of it beside its error."""
        return self.folder / "results" / f"{self.label}.failed.json"


def _asked(request: StageRequest) -> dict[str, Any]:
    """Fields of a request by name, but for the version, which every contract fills in itself."""
    return {name: getattr(request, name) for name in StageRequest.model_fields if name != "schema_version"}


class DatasetRef(Contract):
    """A data set for lineage: where it lies, what it is called and how it is made, never what is in it."""

    namespace: str = Field(description="agency:<id>, exchange or coordinator.")
    name: str
    facts: DatasetFacts | None = Field(default=None, description="Of data and models; messages have none.")


class StageResult(Contract):
    """What a stage leaves behind. No row, value, key, share, update or small count may stand in it."""

    stage: Stage
    status: Literal["done", "skipped"]
    reason: str = Field(default="", max_length=500, description="Why it was skipped, or what was decided.")
    members: tuple[Name, ...] = Field(default=(), description="Agency ids that the stage decided on.")
    burnt: bool = Field(default=False, description="manifest: the round has too few updates.")
    finished: bool = Field(
        default=False,
        description="close_round: no further round is needed. cohort: it was a dry run. gate: the model is held.",
    )
    version: int | None = Field(
        default=None, description="promote, rollback: version that is champion now. predict: version used."
    )
    failed: bool = Field(
        default=False,
        description="verdict: the run did not reach a usable end. Else: it tells of a stage that failed.",
    )
    counts: dict[str, int] = Field(default_factory=dict, description="Counts over the small-cell limit.")
    digests: dict[str, Sha256] = Field(default_factory=dict)
    inputs: tuple[DatasetRef, ...] = ()
    outputs: tuple[DatasetRef, ...] = ()
    seconds: float = Field(default=0.0, ge=0.0)


def write_spec(spec: StageSpec) -> Path:
    """Write a spec where its stage expects it and return the path."""
    write_atomic(spec.spec_path, spec.model_dump_json(by_alias=True).encode())
    return spec.spec_path


def read_spec(path: Path) -> StageSpec:
    """Read a spec; raises ConfigError naming file and field."""
    try:
        return StageSpec.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such spec file") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from error


def write_result(spec: StageSpec, result: StageResult) -> None:
    """Leave a stage's result where the scheduler reads it."""
    write_atomic(spec.result_path, json.dumps(result.model_dump(mode="json"), indent=1).encode())


def write_failure(spec: StageSpec, result: StageResult) -> None:
    """Leave what may be told of a failure, for lineage."""
    write_atomic(spec.failure_path, json.dumps(result.model_dump(mode="json"), indent=1).encode())


def read_failure(spec: StageSpec) -> StageResult | None:
    """Read what a stage told of its failure; None if nothing."""
    try:
        return StageResult.model_validate_json(spec.failure_path.read_bytes())
    except FileNotFoundError:
        return None


def read_result(spec: StageSpec) -> StageResult:
    """Read the result that a stage left."""
    return StageResult.model_validate_json(spec.result_path.read_bytes())
