"""What an agency admits, whatever a request from outside says: policy.yaml in the agency's own folder.

Nothing of it comes from the federation folder or from the coordinator. `fl agency init` writes a first one that
admits a scenario as it stands; from then on only the agency's own operator changes it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fl_tasks.contracts.anonymize import Role
from fl_tasks.contracts.base import Contract, Name, Sha256
from fl_tasks.contracts.config import LearningConfig, ModelName
from fl_tasks.contracts.source import Column, SourceConfig
from fl_tasks.contracts.table_source import TableSource


class AdmittedSource(Contract):
    """One place of an agency's data: a path, or a table behind a URL file."""

    path: str | None = Field(default=None, min_length=1, description="As in the agency's YAML, letter by letter.")
    url_file: str | None = Field(default=None, min_length=1, description="File with the database's URL.")
    table: str | None = Field(default=None, min_length=1, description="Table or view of that database.")

    @model_validator(mode="after")
    def _one(self) -> AdmittedSource:
        if (self.path is None) == (self.table is None) or (self.table is None) != (self.url_file is None):
            raise ValueError("either path, or url_file and table, are needed")
        return self

    @classmethod
    def of(cls, source: SourceConfig | TableSource) -> AdmittedSource:
        """Return the place that a declaration names."""
        if source.sql is None:
            return cls(path=source.path)
        return cls(url_file=source.sql.url_file, table=source.sql.table)

    def __str__(self) -> str:
        return self.path if self.path is not None else f"table {self.table} of {self.url_file}"


class ScenarioPolicy(Contract):
    """What an agency admits in one scenario."""

    sources: tuple[AdmittedSource, ...] = Field(
        min_length=1, description="Data that may be read: files or folders (path), or tables (url_file, table)."
    )
    flow_tables: dict[str, Annotated[int, Field(ge=2, le=1000)]] = Field(
        default_factory=dict,
        description="Tables of trips that may be read, each with its k: counts below k have to be suppressed.",
    )
    identifiers: dict[Column, Literal["drop", "hash"]] = Field(
        default_factory=dict,
        description="Columns that have to be dropped, or at least hashed, whenever the data are read.",
    )
    max_lookback_months: int = Field(ge=1, description="Most months of data that a run may read.")
    masking: Literal["active"] = Field(
        description="Updates leave masked, under a roster that withstands this coordinator: `active` may lie, replay "
        "and forge. There is no value for none."
    )
    approval: Literal["policy", "officer"] = Field(
        description="Who opens the data for a retraining: `policy`, this file alone; `officer`, the agency's data "
        "officer by a signed decision on the run's plan.",
    )
    roster: Sha256 | None = Field(
        default=None, description="The one roster that may be used, by its hash; null: whichever was approved last."
    )
    max_rounds: int = Field(ge=1, description="Most round indices, and so sums, of one run.")
    max_local_epochs: int = Field(ge=1, description="Most passes over the data in one round.")
    models: dict[ModelName, Annotated[int, Field(ge=1)]] = Field(
        min_length=1, description="Architectures that may be trained or used, each with the most units."
    )
    max_parameters: int = Field(ge=1, description="Most parameters of a model, trained or used.")
    max_clip: float = Field(gt=0.0, description="Largest L2 clip of a model delta.")
    max_survey_values: int = Field(
        default=0, ge=0, description="Most words that a survey may sum over the agencies before training; 0: none."
    )
    roles: dict[Column, Role] = Field(
        default_factory=dict,
        description="Role that each column of the scenario's schema has to have; a table whose schema gives a column "
        "another role, or has others, is not read.",
    )
    columns: tuple[Column, ...] | None = Field(
        default=None, description="Columns of a table that may be read, as delivered; null: any."
    )
    least_k: int | None = Field(
        default=None, ge=2, description="Of a table, k that a run has to ask for at least; null: whatever it asks."
    )
    least_l: int | None = Field(default=None, ge=1, description="Likewise l.")
    most_t: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Likewise t: the largest that a run may admit."
    )
    most_suppressed: float | None = Field(
        default=None, ge=0.0, le=0.5, description="Largest share of a table's rows that a run may let be suppressed."
    )
    share_drift: bool = Field(
        default=True, description="Whether the daily watch tells how far the data have moved, beside its verdict."
    )
    share_profile: bool = Field(
        default=True, description="Whether mean forecast and truth by hour of day, over small cells, may be reported."
    )

    def admits_model(self, learning: LearningConfig) -> bool:
        """Say whether an architecture and its width are admitted."""
        return learning.units <= self.models.get(learning.model, 0)


class Policy(Contract):
    """An agency's policy.yaml."""

    agency: Name
    scenarios: dict[Name, ScenarioPolicy] = Field(description="Scenarios admitted; no other is taken part in.")
