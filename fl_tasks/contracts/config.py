"""What an operator writes: a scenario's and an agency's YAML; loaded strictly.

Every field is set in one place only. Unknown keys, numbers given as text and values out of range are
refused with the file, the line and the field.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from fl_tasks.contracts.approval import OfficersConfig, PromotionConfig
from fl_tasks.contracts.base import Contract, Name, describe
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.series_config import Fraction, SeriesConfig
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.table_source import TableSource

OptimizerName = Literal["sgd", "adam", "yogi"]
ModelName = Literal["gru", "mlp", "logistic", "cnn"]


class ScheduleConfig(Contract):
    """When a scenario is retrained, and on which span of data."""

    cron: str = Field(description="Airflow cron expression of the data interval, e.g. @monthly.")
    timezone: str = Field(description="IANA name of the scenario's own time zone.")
    start_date: dt.date = Field(description="First data interval starts here, local time.")
    catchup: bool = Field(description="Whether intervals missed before today are run.")
    max_active_runs: int = Field(ge=1, le=16, description="Runs of this scenario at one time.")
    lookback_months: int = Field(ge=1, le=60, description="Months before the interval's end that are read.")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"time zone {value!r} is unknown; use an IANA name like Asia/Shanghai") from error
        return value


class EarlyStopConfig(Contract):
    """When the rounds end before the wanted number: the validation loss has stopped falling.

    Each update carries, masked, the loss of the round's model on the agency's validation part, which the fit
    then leaves out. A run that stops so ends with the model of the smallest validation loss; one whose wanted rounds
    are over before, with the last model.
    """

    patience: int = Field(ge=1, le=100, description="Rounds without an improvement after which the run stops.")
    min_improvement: float = Field(ge=0.0, lt=1.0, description="Share by which the loss must fall to count as better.")


class RoundsConfig(Contract):
    """How many federated rounds a run does."""

    wanted: int = Field(ge=1, le=200, description="Aggregated rounds after which a run is complete.")
    spare: int = Field(ge=0, le=50, description="Rounds that may be burnt (too few updates) in a run.")
    early_stop: EarlyStopConfig | None = Field(
        default=None, description="Without it the fit takes the validation part too."
    )

    @property
    def groups(self) -> int:
        """Round indices of the DAG, and key sets that every agency makes for one run (R_max)."""
        return self.wanted + self.spare


class TasksConfig(Contract):
    """How the scheduler treats a scenario's tasks."""

    owner: str = Field(min_length=1, description="Who is asked when a task fails.")
    retries: int = Field(ge=0, le=10, description="Further tries of a task after a retryable failure.")
    retry_delay_seconds: int = Field(ge=1, le=86_400, description="Delay before the first retry; doubles.")
    timeout_minutes: int = Field(ge=1, le=10_080, description="A task that runs longer is killed.")
    max_retry_delay_seconds: int = Field(default=3600, ge=1, le=86_400, description="The doubling ends here.")
    training_pool: str = Field(
        default="default_pool",
        min_length=1,
        description="Airflow pool of the tasks that train, where agencies share a machine; `make up` makes it.",
    )


class NotifyConfig(Contract):
    """Who hears of a red run, and of a retraining that takes too long. It always stands in Airflow's log."""

    webhook_connection: str | None = Field(default=None, description="Airflow HTTP connection id; gets a JSON POST.")
    email_connection: str | None = Field(default=None, description="Airflow SMTP connection id.")
    email_to: tuple[str, ...] = Field(default=(), description="Addresses; needs email_connection.")
    deadline_hours: float | None = Field(
        default=None,
        gt=0.0,
        le=8760.0,
        description="A retraining that is not over so long after it was queued is told of; it runs on.",
    )

    @model_validator(mode="after")
    def _addressed(self) -> NotifyConfig:
        if bool(self.email_to) != (self.email_connection is not None):
            raise ValueError("email_connection and email_to belong together")
        return self


class GateConfig(Contract):
    """When a new model takes the champion's place; compared are scaled RMSEs on each agency's held-back data.

    The reference is the champion, scored on the same new interval; the first time it is persistence.
    """

    share_better: Fraction = Field(description="Share of the evaluating agencies where it must be better.")
    tolerance: float = Field(ge=0.0, le=1.0, description="Share by which it may be worse at any agency.")


class DriftConfig(Contract):
    """When data that have moved since the champion was trained start a retraining before the next one is due."""

    cron: str = Field(description="Airflow cron expression of the watch, e.g. @daily.")
    limit: float = Field(
        gt=0.0, le=10.0, description="Population stability index over which an agency's data have moved; 0.25 is usual."
    )
    agencies: int = Field(
        ge=0, le=199, description="A retraining starts once the data of more than so many have moved."
    )


class SecAggConfig(Contract):
    """Secure-aggregation parameters; they are frozen into the roster that every agency approves."""

    mode: Literal["active"] = Field(description="Adversary: a coordinator that may lie, replay and forge.")
    n_c: int = Field(ge=0, le=198, description="Agencies that may collude with the coordinator.")
    t: int | None = Field(default=None, ge=2, le=200, description="Threshold; default floor(2N/3) + 1.")
    clip: float = Field(gt=0.0, le=1e6, description="Largest L2 norm of a model delta; longer is scaled down.")
    n_ref: int = Field(ge=1, le=2**31 - 1, description="Training examples that count as weight 1.")
    w_max: float = Field(gt=0.0, le=1e4, description="Largest weight of an agency, in n_ref.")
    max_loss: float = Field(gt=0.0, le=1e6, description="Training losses above are reported as this.")
    kem: Literal["ml-kem-768"] | None = Field(
        default=None, description="Post-quantum key encapsulation that pair secrets take beside X25519; none without."
    )


class OptimizerConfig(Contract):
    """One of TensorFlow Federated's own optimizers."""

    name: OptimizerName
    learning_rate: float = Field(gt=0.0, le=10.0)


class LearningConfig(Contract):
    """What is trained and how. Hyper-parameters are chosen on validation data only."""

    model: ModelName
    units: int = Field(ge=1, le=65_536, description="Width of the hidden layer; filters of a cnn; 1 for logistic.")
    local_epochs: int = Field(ge=1, le=100, description="Passes over an agency's data in one round.")
    batch_size: int = Field(ge=1, le=1_000_000)
    client_optimizer: OptimizerConfig
    server_optimizer: OptimizerConfig
    seed: int = Field(ge=0, le=2**31 - 1, description="Seed of the initial model.")
    weight_cap: int | None = Field(
        default=None, ge=1, description="An agency's training windows count at most as this many in the mean."
    )


def _kind(value: Any) -> str:  # noqa: ANN401 - what the YAML holds there is not known yet
    return str(value.get("kind", "series") if isinstance(value, dict) else getattr(value, "kind", "series"))


DataConfig = Annotated[
    Annotated[SeriesConfig, Tag("series")] | Annotated[TableConfig, Tag("table")], Discriminator(_kind)
]
Source = Annotated[Annotated[SourceConfig, Tag("series")] | Annotated[TableSource, Tag("table")], Discriminator(_kind)]


class ScenarioConfig(Contract):
    """Everything an operator sets about a scenario: dags/federation/scenarios/<scenario>.yaml."""

    scenario: Name
    title: str = Field(min_length=1)
    schedule: ScheduleConfig
    rounds: RoundsConfig
    tasks: TasksConfig
    secagg: SecAggConfig
    learning: LearningConfig
    gate: GateConfig
    promotion: PromotionConfig | None = Field(default=None, description="Without it the gate alone decides.")
    officers: OfficersConfig | None = Field(
        default=None, description="Without it no plan is sent, and an agency whose officer decides takes no part."
    )
    drift: DriftConfig | None = Field(default=None, description="Without it nobody watches between retrainings.")
    notify: NotifyConfig = Field(default_factory=NotifyConfig)
    data: DataConfig

    @property
    def asks(self) -> bool:
        """Whether a person has to agree to a promotion."""
        return self.promotion is not None and self.promotion.approval

    @property
    def series(self) -> SeriesConfig:
        """The data of a scenario that forecasts series; raises ConfigError for another."""
        if not isinstance(self.data, SeriesConfig):
            raise ConfigError(f"scenario {self.scenario}: field data.kind: got {self.data.kind!r}, series is needed")
        return self.data

    @property
    def table(self) -> TableConfig:
        """The data of a scenario that classifies rows; raises ConfigError for another."""
        if not isinstance(self.data, TableConfig):
            raise ConfigError(f"scenario {self.scenario}: field data.kind: got {self.data.kind!r}, table is needed")
        return self.data


class AgencyConfig(Contract):
    """One agency: dags/federation/agencies/<agency>.yaml."""

    agency: Name
    title: str = Field(min_length=1)
    queue: Name = Field(description="Airflow queue of this agency's tasks.")
    scenarios: dict[Name, Source] = Field(min_length=1, description="Scenarios joined, and their data.")


C = TypeVar("C", bound=Contract)


# pydantic names the kind of data or of a source as if it were a field; in the YAML it is none.
_KIND = re.compile(r"^(field (?:data|scenarios\.[a-z0-9_]+))\.(?:series|table)(?=[.:])")


_READ: ContextVar[dict[Path, bytes] | None] = ContextVar("_READ", default=None)


@contextmanager
def one_reading() -> Iterator[None]:
    """Within it a YAML is read once: what was checked is what is used, though the file is exchanged meanwhile."""
    token = _READ.set({})
    try:
        yield
    finally:
        _READ.reset(token)


def _content(path: Path) -> bytes:
    read = _READ.get()
    if read is None:
        return path.read_bytes()
    if path not in read:
        read[path] = path.read_bytes()
    return read[path]


# libyaml's, where PyYAML was built with it: a scheduler reads all of a federation's files every few seconds.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(path: Path, kind: type[C]) -> C:
    """Read one YAML file as a contract.

    Raises:
        ConfigError: If the file is missing, is no YAML, or a field is unknown, missing, of the wrong type or
            out of range. The message names the file, the line and the field.
    """
    try:
        text = _content(path).decode("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file; a {kind.__name__} is needed here") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text; save the file as UTF-8") from error
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        value = None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    try:
        # By way of JSON, so that strictness refuses text for numbers but takes lists and dates.
        return kind.model_validate_json(json.dumps(value, default=str))
    except ValidationError as error:
        line = _line_of(root, error.errors(include_url=False, include_input=False)[0]["loc"])
        field_and_reason = _KIND.sub(r"\1", describe(error))
        raise ConfigError(f"{path}:{line}: {field_and_reason}") from error


def _line_of(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """Return the line, from 1, of the deepest node on the way to a field."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, child
                    break
            else:
                if part not in ("series", "table"):  # the kind of a source or of data is no key, its fields are
                    return line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


class Federation(Contract):
    """All scenarios and agencies of one installation."""

    scenarios: dict[Name, ScenarioConfig]
    agencies: dict[Name, AgencyConfig]

    def members(self, scenario: str) -> list[AgencyConfig]:
        """Return the agencies that joined a scenario, sorted by id."""
        return [agency for _, agency in sorted(self.agencies.items()) if scenario in agency.scenarios]


def load_scenario(federation: Path, scenario: str) -> ScenarioConfig:
    """Read federation/scenarios/<scenario>.yaml; raises ConfigError."""
    path = federation / "scenarios" / f"{scenario}.yaml"
    config = load_yaml(path, ScenarioConfig)
    if config.scenario != scenario:
        raise ConfigError(f"{path}: field scenario: got {config.scenario!r}, the file's name needs {scenario!r}")
    return config


def load_agency(federation: Path, agency: str) -> AgencyConfig:
    """Read federation/agencies/<agency>.yaml; raises ConfigError."""
    path = federation / "agencies" / f"{agency}.yaml"
    config = load_yaml(path, AgencyConfig)
    if config.agency != agency:
        raise ConfigError(f"{path}: field agency: got {config.agency!r}, the file's name needs {agency!r}")
    return config


def load_source(federation: Path, agency: str | None, scenario: str) -> SourceConfig | TableSource:
    """Read how an agency's data for a scenario are declared; raises ConfigError if it has not joined."""
    if agency is None:
        raise ConfigError("field agency: an agency is needed; set it in the spec")
    source = load_agency(federation, agency).scenarios.get(scenario)
    if source is None:
        raise ConfigError(
            f"agency {agency}: field scenarios: {scenario!r} is not there; "
            "add it to the agency's YAML, or leave the agency out of this run"
        )
    return source


def load_series_source(federation: Path, agency: str | None, scenario: str) -> SourceConfig:
    """Read an agency's declaration of series; raises ConfigError as load_source, or if it declares a table."""
    source = load_source(federation, agency, scenario)
    if not isinstance(source, SourceConfig):
        raise ConfigError(f"agency {agency}: field scenarios.{scenario}.kind: got {source.kind!r}, series is needed")
    return source


def load_table_source(federation: Path, agency: str | None, scenario: str) -> TableSource:
    """Read an agency's declaration of a table; raises ConfigError as load_source, or if it declares series."""
    source = load_source(federation, agency, scenario)
    if not isinstance(source, TableSource):
        raise ConfigError(f"agency {agency}: field scenarios.{scenario}.kind: got {source.kind!r}, table is needed")
    return source


def load_federation(federation: Path) -> Federation:
    """Read every scenario and agency below a folder; raises ConfigError."""
    scenarios = {path.stem: load_scenario(federation, path.stem) for path in _yaml_files(federation / "scenarios")}
    agencies = {path.stem: load_agency(federation, path.stem) for path in _yaml_files(federation / "agencies")}
    for agency in agencies.values():
        for scenario in agency.scenarios:
            if scenario not in scenarios:
                raise ConfigError(
                    f"{federation / 'agencies' / agency.agency}.yaml: field scenarios: {scenario!r} is unknown; "
                    f"known are {', '.join(sorted(scenarios)) or 'none'}"
                )
    return Federation(scenarios=scenarios, agencies=agencies)


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))
