"""report.json: what a run says about itself. Versioned: a field changes its meaning only with `schema`."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from fl_tasks.contracts.base import Contract, Name, RunId, Sha256
from fl_tasks.contracts.plan import Answer

SCALED = "scaled"
"""The unit of overall errors where the agencies' units differ: standard deviations."""


class Figure(NamedTuple):
    """One figure of a model at an agency, as tables show it."""

    name: str
    value: float
    higher_is_better: bool = False


class ForecastMetric(Contract):
    """Errors of one horizon, in the agency's own unit, over n values (windows x series x steps)."""

    mae: float = Field(ge=0.0)
    rmse: float = Field(ge=0.0, description="Root of the mean square over steps 1..h together.")
    n: int = Field(ge=1)
    last_step_mae: float = Field(ge=0.0, description="The horizon's last step alone.")
    last_step_rmse: float = Field(ge=0.0)
    scaled_mae: float = Field(ge=0.0, description="In standard deviations of the agency's fit part.")
    scaled_rmse: float = Field(ge=0.0)
    wis: float | None = Field(default=None, ge=0.0, description="Weighted interval score; null without quantiles.")
    scaled_wis: float | None = Field(default=None, ge=0.0)
    coverage: dict[str, float] = Field(
        default_factory=dict, description="Central interval, like 0.9 -> share of the values inside it."
    )

    tracked: ClassVar = ("mae", "rmse", "wis", "scaled_mae", "scaled_rmse", "scaled_wis")
    comparable: ClassVar = ("scaled_mae", "scaled_rmse", "scaled_wis")

    @property
    def score(self) -> float:
        """The one figure that models are compared by, smaller is better: scaled WIS, or RMSE without quantiles."""
        return self.scaled_rmse if self.scaled_wis is None else self.scaled_wis

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What tables show, the most important first."""
        errors = (Figure("RMSE", self.rmse), Figure("MAE", self.mae))
        return errors if self.wis is None else (Figure("WIS", self.wis), errors[1])

    @property
    def scaled(self) -> Figure:
        """The figure in which agencies of different units compare."""
        return Figure("scaled RMSE" if self.scaled_wis is None else "scaled WIS", self.score)


class ClassMetric(Contract):
    """How well rows are classified, over n held-back rows of an agency."""

    n: int = Field(ge=1)
    accuracy: float = Field(ge=0.0, le=1.0)
    log_loss: float = Field(ge=0.0, description="Mean negative logarithm of the true class's probability.")
    brier: float = Field(
        ge=0.0, le=2.0, description="Mean squared error of the probabilities; summed over classes / 2."
    )
    calibration: float = Field(ge=0.0, le=1.0, description="Expected calibration error over ten bins of equal width.")
    auc: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Area under the ROC curve; null for more than two classes."
    )
    opportunity_gap: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Largest difference of true positive rates between protected groups (equal opportunity); null "
        "without a protected column, or where fewer than two groups have enough positive rows.",
    )

    tracked: ClassVar = ("accuracy", "log_loss", "brier", "calibration", "auc", "opportunity_gap")
    comparable: ClassVar = tracked

    @property
    def score(self) -> float:
        """The one figure that models are compared by, smaller is better: 1 - AUC, or the error rate."""
        return 1.0 - (self.accuracy if self.auc is None else self.auc)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What tables show, the most important first."""
        accuracy = Figure("accuracy", self.accuracy, higher_is_better=True)
        brier, calibration = Figure("Brier", self.brier), Figure("calibration", self.calibration)
        gap = () if self.opportunity_gap is None else (Figure("gap", self.opportunity_gap),)
        surprise = Figure("log loss", self.log_loss)
        if self.auc is None:
            return (accuracy, brier, *gap, calibration, surprise)
        return (Figure("AUC", self.auc, higher_is_better=True), brier, *gap, calibration, accuracy, surprise)

    @property
    def scaled(self) -> Figure:
        """The figure in which agencies compare: shares have no unit."""
        return self.figures[0]


Metric = ForecastMetric | ClassMetric
Horizons = dict[str, Metric]
"""Horizon, or the target of a classifier -> its figures."""


class Evaluation(Contract):
    """The same test windows, judged in several ways; champion only where there is one to compare with."""

    federated: Horizons = Field(default_factory=dict)
    local_only: Horizons = Field(default_factory=dict)
    persistence: Horizons = Field(default_factory=dict)
    seasonal_naive: Horizons = Field(default_factory=dict, description="The value of one season before.")
    majority: Horizons = Field(default_factory=dict, description="The classes' shares among the training rows.")
    champion: Horizons = Field(default_factory=dict)


class ProfilePoint(Contract):
    """Mean forecast and truth of the longest horizon's last step in one hour of the day, over n test values."""

    hour: int = Field(ge=0, le=23, description="In which that step begins, local wall time.")
    truth: float = Field(description="In standard deviations of the agency's fit part.")
    forecast: float
    n: int = Field(ge=1, description="Over the small-cell limit.")


class EvaluationReport(Contract):
    """All agencies pooled, and each."""

    overall: Evaluation = Field(default_factory=Evaluation)
    agencies: dict[Name, Evaluation] = Field(default_factory=dict)
    units: dict[Name, str] = Field(default_factory=dict, description="Unit of each agency's errors.")
    profiles: dict[Name, tuple[ProfilePoint, ...]] = Field(
        default_factory=dict, description="Federated forecast against truth by hour of day, where policy allows."
    )


class LocalComparison(Contract):
    """Whether training together paid: the federated model beside those that each agency trains alone."""

    measure: str = Field(
        default="RMSE", description="Of which both are the mean over the agencies; scaled where their units differ."
    )
    higher_is_better: bool = False
    federated: float = Field(ge=0.0)
    local_only: float = Field(ge=0.0)
    alone_better: dict[Name, float] = Field(
        default_factory=dict, description="Agencies better off alone, and by which share of the federated figure."
    )

    @property
    def pays(self) -> bool:
        """Whether training together gave the better mean."""
        if self.higher_is_better:
            return self.federated > self.local_only
        return self.federated < self.local_only


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
    validation_loss: float | None = Field(
        default=None, description="Of the model that the round started from; null without early stop."
    )
    clipped: int | None = Field(default=None, description="Survivors whose delta was clipped.")
    seconds: float | None = None
    model_sha256: Sha256 | None = Field(default=None, description="Model after this round.")


class SurveyReport(Contract):
    """The session of secure sums before the training, from which recoding and scales were chosen."""

    run_id: RunId
    status: Literal["done", "failed"]
    reason: str = Field(default="", description="Why it is failed.")
    notes: tuple[str, ...] = Field(default=(), description="Step: whose messages the coordinator refused, and why.")
    cohort: tuple[Name, ...] = ()
    excluded: dict[Name, str] = Field(default_factory=dict)
    survivors: tuple[Name, ...] = Field(default=(), description="Whose numbers are in the sums.")
    lost: dict[Name, str] = Field(default_factory=dict, description="Agency of the cohort -> step it was lost at.")
    words: int | None = Field(default=None, description="Ring words of an agency's masked answer, without the slots.")
    levels: dict[str, int] = Field(default_factory=dict, description="Quasi-identifier -> level for all agencies.")
    kept: bool = Field(default=False, description="Whether the levels are the champion's.")


class AgencyPrivacy(Contract):
    """De-identification and privacy budget of one agency; null where a scenario has none."""

    k: int | None = None
    l: int | None = None  # noqa: E741 - the field's name in the literature (l-diversity)
    t: float | None = None
    suppressed: int | None = Field(
        default=None, description="Cells of a flow table, or rows of a table, that were suppressed; no small cell."
    )
    suppressed_share: float | None = Field(default=None, description="Of a table's rows; null beside a small cell.")
    ncp: float | None = Field(default=None, description="Normalized certainty penalty: 0 nothing lost, 1 everything.")
    discernibility: int | None = Field(default=None, description="Sum of squared class sizes; see PrivacyReport.")
    risk_max: float | None = Field(default=None, description="Prosecutor's risk of the worst row: 1 / k.")
    risk_average: float | None = Field(default=None, description="Prosecutor's risk averaged over rows.")
    statement: str | None = Field(default=None, description="The standards' wording on a table's release.")
    identifiers: dict[str, Literal["drop", "hash"]] = Field(
        default_factory=dict, description="Identifying columns that were there, and what became of them."
    )
    epsilon: float | None = None
    delta: float | None = None


class ModelReport(Contract):
    """The model that the run ended with."""

    version: int | None = Field(default=None, description="Registry version; null while not promoted.")
    sha256: Sha256 | None = None
    parent: Sha256 | None = Field(default=None, description="Model that the run started from.")


class AgencyQuality(Contract):
    """What an agency says of its data beside passed or not."""

    warnings: tuple[str, ...] = Field(default=(), description="Checks that failed and are only noted.")
    notes: tuple[str, ...] = Field(default=(), description="Replay, late or corrected months.")


class GateReport(Contract):
    """What the gate compared and decided."""

    decision: Literal["promoted", "held"]
    reason: str
    reference: str = Field(description="`persistence`, or `version N` of the champion.")
    better: tuple[Name, ...] = Field(default=(), description="Agencies where the new model is better.")
    worse: tuple[Name, ...] = Field(default=(), description="Agencies where it is worse by more than the tolerance.")
    backfill: bool = Field(default=False, description="A newer interval's model is or was champion.")
    version: int | None = Field(default=None, description="Registry version of the new model, promoted or not.")
    chain: int = Field(default=0, ge=0, description="Champion records when this was decided; later ones outdate it.")


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
    unit: str = Field(description="Of evaluation.overall; `scaled` where the agencies' units differ.")
    cohort: tuple[Name, ...] = ()
    excluded: dict[Name, str] = Field(default_factory=dict)
    refused: dict[Name, str] = Field(
        default_factory=dict,
        description="Agencies whose officer's approval ended after their data had passed: at which stage, and why.",
    )
    approvals: dict[Name, Answer] = Field(
        default_factory=dict, description="What each agency told of the decision on its plan; none where none is sent."
    )
    secagg: SecAggReport | None = None
    survey: SurveyReport | None = Field(default=None, description="Null where nothing is agreed on before training.")
    rounds: tuple[RoundReport, ...] = ()
    evaluation: EvaluationReport = Field(default_factory=EvaluationReport)
    privacy: dict[Name, AgencyPrivacy] = Field(default_factory=dict)
    quality: dict[Name, AgencyQuality] = Field(default_factory=dict)
    gate: GateReport | None = None
    model: ModelReport = Field(default_factory=ModelReport)
    egress: dict[Name, tuple[Sent, ...]] = Field(default_factory=dict)
    comparison: dict[str, LocalComparison] = Field(default_factory=dict, description="Horizon -> comparison.")
    lineage: str | None = Field(default=None, description="File beside the report; null where a server collects them.")
    resources: Resources = Field(default_factory=Resources)
    seconds: Seconds = Field(default_factory=Seconds)


class EvaluationBody(Contract):
    """What one agency says of a model on its own held-back data, as its policy allows."""

    run_id: RunId
    agency: Name
    model_sha256: Sha256
    champion_sha256: Sha256 | None = Field(default=None, description="Model that `champion` stands for.")
    unit: str
    evaluation: Evaluation
    profile: tuple[ProfilePoint, ...] = ()


class RoundRecord(Contract):
    """What the coordinator keeps of an aggregated round; committed after the round's model and state."""

    round: int = Field(ge=1)
    survivors: tuple[Name, ...]
    loss: float
    validation_loss: float | None = None
    clipped: int
    examples: int
    seconds: float = Field(ge=0.0, description="From the round's model to its aggregate.")
    model_sha256: Sha256
