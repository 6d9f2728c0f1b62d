"""report.json: what a run says about itself. Versioned: a field changes its meaning only with `schema`."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from fl_tasks.contracts.base import Contract, Name, RunId, Sha256


class Metric(Contract):
    """Errors of one horizon, in the agency's own unit, over n values (windows x series x steps)."""

    mae: float = Field(ge=0.0)
    rmse: float = Field(ge=0.0, description="Root of the mean square over steps 1..h together.")
    n: int = Field(ge=1)
    last_step_mae: float = Field(ge=0.0, description="The horizon's last step alone.")
    last_step_rmse: float = Field(ge=0.0)


Horizons = dict[str, Metric]


class Evaluation(Contract):
    """The same test windows, judged three ways."""

    federated: Horizons = Field(default_factory=dict)
    local_only: Horizons = Field(default_factory=dict)
    persistence: Horizons = Field(default_factory=dict)


class EvaluationReport(Contract):
    """All agencies pooled, and each."""

    overall: Evaluation = Field(default_factory=Evaluation)
    agencies: dict[Name, Evaluation] = Field(default_factory=dict)


class SecAggReport(Contract):
    """The parameters under which every sum was opened."""

    n: int
    t: int
    n_c: int
    least_honest: int = Field(description="Smallest number of honest agencies in any sum: t - n_c.")
    mode: Literal["active"]


class RoundReport(Contract):
    """What became of one round."""

    round: int = Field(ge=1)
    status: Literal["aggregated", "burnt", "skipped"]
    survivors: tuple[Name, ...] = ()
    lost: dict[Name, str] = Field(default_factory=dict, description="Agency -> stage at which it was lost.")
    loss: float | None = Field(default=None, description="Mean training loss over the survivors' examples.")
    clipped: int | None = Field(default=None, description="Survivors whose delta was clipped.")
    seconds: float | None = None
    model_sha256: Sha256 | None = Field(default=None, description="Model after this round.")


class AgencyPrivacy(Contract):
    """De-identification and privacy budget of one agency; null where a scenario has none."""

    k: int | None = None
    l: int | None = None  # noqa: E741 - the field's name in the literature (l-diversity)
    t: float | None = None
    suppressed: int | None = None
    epsilon: float | None = None
    delta: float | None = None


class ModelReport(Contract):
    """The model that the run ended with."""

    version: int | None = Field(default=None, description="Registry version; null while not promoted.")
    sha256: Sha256 | None = None
    parent: Sha256 | None = Field(default=None, description="Model that the run started from.")


class Sent(Contract):
    """One file that left an agency."""

    file: str
    bytes: int = Field(ge=0)
    sha256: Sha256
    purpose: str


class Resources(Contract):
    """What the run needed of the machine."""

    peak_pss_bytes: int | None = Field(default=None, description="Sampled sum of PSS of all processes.")


class Seconds(Contract):
    """Where the time went."""

    total: float | None = Field(default=None, description="Wall time from the run's start to this report.")
    by_stage: dict[str, float] = Field(default_factory=dict)


class Report(Contract):
    """One run's report.json."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    run_id: RunId
    scenario: Name
    status: Literal["promoted", "held", "failed"]
    reason: str = Field(default="", description="Why it is not promoted.")
    data_interval: tuple[dt.datetime, dt.datetime]
    unit: str
    cohort: tuple[Name, ...] = ()
    excluded: dict[Name, str] = Field(default_factory=dict)
    secagg: SecAggReport | None = None
    rounds: tuple[RoundReport, ...] = ()
    evaluation: EvaluationReport = Field(default_factory=EvaluationReport)
    privacy: dict[Name, AgencyPrivacy] = Field(default_factory=dict)
    model: ModelReport = Field(default_factory=ModelReport)
    egress: dict[Name, tuple[Sent, ...]] = Field(default_factory=dict)
    lineage: str = "openlineage.jsonl"
    resources: Resources = Field(default_factory=Resources)
    seconds: Seconds = Field(default_factory=Seconds)


class EvaluationBody(Contract):
    """What one agency says of a model on its own held-back data, as its policy allows."""

    run_id: RunId
    agency: Name
    model_sha256: Sha256
    evaluation: Evaluation


class RoundRecord(Contract):
    """What the coordinator keeps of an aggregated round; committed after the round's model and state."""

    round: int = Field(ge=1)
    survivors: tuple[Name, ...]
    loss: float
    clipped: int
    examples: int
    seconds: float = Field(ge=0.0, description="From the round's model to its aggregate.")
    model_sha256: Sha256
