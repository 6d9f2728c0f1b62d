"""Holds what a run wants of an agency against the agency's own policy.yaml, before anything is done for it.

| checked | against | at |
|---|---|---|
| scenario, data source, columns, identifiers, k, l, t, months | configuration | every stage |
| rounds, epochs, architecture, clip | configuration | every stage |
| masking, threshold, hash, rounds, clip | approved roster | every stage |
| number of parameters or of a survey's words, rounds | signed cohort | every stage of a session |
| architecture, number of parameters | champion | predict |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fl_tasks.contracts.config import ScenarioConfig, load_scenario, load_source, load_yaml
from fl_tasks.contracts.errors import ConfigError, PolicyRefused
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.policy import AdmittedSource, Policy, ScenarioPolicy
from fl_tasks.contracts.roster import CohortBody, Roster
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.data.tables.declaration import declare
from fl_tasks.secagg.parameters import checked_threshold


def columns_read(config: TableConfig, source: TableSource) -> tuple[str, ...]:
    """Return the delivered columns that a declaration lets be read."""
    declared = declare(config, source)
    return tuple(dict.fromkeys((*declared.needed, *declared.welcome)))


def policy_path(folder: Path) -> Path:
    """Where an agency's policy lies."""
    return folder / "policy.yaml"


@dataclass(frozen=True)
class Gate:
    """One agency's policy for one scenario; each method raises PolicyRefused naming file, field, wanted, admitted."""

    path: Path
    scenario: str
    policy: ScenarioPolicy

    def check_config(self, config: ScenarioConfig, source: SourceConfig | TableSource) -> None:
        """Hold the federation's YAML against the policy, the agency's own declaration of its data included."""
        wanted = AdmittedSource.of(source)
        if wanted not in self.policy.sources:
            self._refuse("sources", str(wanted), ", ".join(map(str, self.policy.sources)))
        for column, how in self.policy.identifiers.items():
            declared = source.identifiers.get(column)
            if declared not in (how, "drop"):
                self._refuse(f"identifiers.{column}", declared or "to keep it", how)
        if isinstance(source, SourceConfig) and source.flow_table is not None:
            least = self.policy.flow_tables.get(source.flow_table.path)
            if least is None:
                self._refuse("flow_tables", source.flow_table.path, ", ".join(self.policy.flow_tables) or "none")
            if source.flow_table.limit < least:
                self._refuse(f"flow_tables.{source.flow_table.path}", f"k = {source.flow_table.limit}", f"k >= {least}")
        if isinstance(source, TableSource):
            self._check_table(config.table, source)
        self._at_most("max_lookback_months", config.schedule.lookback_months, self.policy.max_lookback_months)
        self._at_most("max_rounds", config.rounds.groups, self.policy.max_rounds)
        self._at_most("max_local_epochs", config.learning.local_epochs, self.policy.max_local_epochs)
        self._at_most("max_clip", config.secagg.clip, self.policy.max_clip)
        if not self.policy.admits_model(config.learning):
            self._refuse_model(config.learning.model, config.learning.units)

    def _check_table(self, config: TableConfig, source: TableSource) -> None:
        """Hold the columns that are read, their roles, and what a release has to reach, against the policy."""
        for column in config.columns if self.policy.roles else ():
            admitted = self.policy.roles.get(column.column)
            if column.role != admitted:
                self._refuse(f"roles.{column.column}", column.role, str(admitted))
        if self.policy.columns is not None:
            beyond = [column for column in columns_read(config, source) if column not in self.policy.columns]
            if beyond:
                self._refuse("columns", repr(beyond[0]), ", ".join(map(repr, self.policy.columns)))
        asked = config.privacy
        k, l_, t = (1, 1, 1.0) if asked is None else (asked.k, asked.l, asked.t)
        for field, wanted, least in (("least_k", k, self.policy.least_k), ("least_l", l_, self.policy.least_l)):
            if least is not None and wanted < least:
                self._refuse(field, f"{field[-1]} = {wanted}", f"{field[-1]} >= {least}")
        if self.policy.most_t is not None and t > self.policy.most_t:
            self._refuse("most_t", f"t = {t:g}", f"t <= {self.policy.most_t:g}")
        if self.policy.most_suppressed is not None and asked is not None:
            self._at_most("most_suppressed", asked.suppression, self.policy.most_suppressed)

    def check_roster(self, roster: Roster) -> None:
        """Hold a roster against the policy; its threshold has to be one of the mode that is admitted."""
        if roster.secagg.mode != self.policy.masking:
            self._refuse("masking", roster.secagg.mode, self.policy.masking)
        try:
            checked_threshold(len(roster.members), roster.secagg)
        except ConfigError as error:
            self._refuse("masking", f"a roster in which {error}", self.policy.masking)
        sha256 = roster.sha256.hex()
        if self.policy.roster not in (None, sha256):
            self._refuse("roster", sha256, str(self.policy.roster))
        self._at_most("max_rounds", roster.r_max, self.policy.max_rounds)
        self._at_most("max_clip", roster.secagg.clip, self.policy.max_clip)

    def check_cohort(self, cohort: CohortBody) -> None:
        """Hold what the coordinator signed for one run, or for its survey, against the policy."""
        if cohort.purpose == "survey":
            self._at_most("max_survey_values", cohort.parameters, self.policy.max_survey_values)
        else:
            self._at_most("max_parameters", cohort.parameters, self.policy.max_parameters)
        self._at_most("max_rounds", cohort.rounds, self.policy.max_rounds)

    def check_model(self, model: ModelSpec, parameters: int) -> None:
        """Hold a model that is about to be used, and its number of parameters, against the policy."""
        if not self.policy.admits_model(model.learning):
            self._refuse_model(model.learning.model, model.learning.units)
        self._at_most("max_parameters", parameters, self.policy.max_parameters)

    def _at_most(self, field: str, wanted: float, admitted: float) -> None:
        if wanted > admitted:
            self._refuse(field, str(wanted), str(admitted))

    def _refuse_model(self, model: str, units: int) -> NoReturn:
        admitted = ", ".join(f"{name} up to {most}" for name, most in self.policy.models.items())
        self._refuse("models", f"{model} with {units} units", admitted)

    def _refuse(self, field: str, wanted: str, admitted: str) -> NoReturn:
        raise PolicyRefused(
            f"{self.path}: field scenarios.{self.scenario}.{field}: the run wants {wanted}, admitted is {admitted}; "
            "what is admitted only this agency's own operator changes, in that file"
        )


def open_gate(spec: StageSpec) -> Gate:
    """Read the policy of a spec's agency for its scenario.

    Raises:
        ConfigError: If there is no policy, or it is malformed.
        PolicyRefused: If it is another agency's, or does not admit the scenario.
    """
    path = policy_path(spec.places.agency(str(spec.agency)))
    policy = load_yaml(path, Policy)
    if policy.agency != spec.agency:
        raise PolicyRefused(f"{path}: field agency: the run wants {spec.agency!r}, admitted is {policy.agency!r}")
    admitted = policy.scenarios.get(spec.scenario)
    if admitted is None:
        raise PolicyRefused(
            f"{path}: field scenarios: the run wants {spec.scenario!r}, admitted are "
            f"{', '.join(policy.scenarios) or 'none'}; to take part: fl agency init --scenario {spec.scenario} "
            f"--agency {spec.agency}"
        )
    return Gate(path, spec.scenario, admitted)


def check_request(spec: StageSpec, roster: Roster | None) -> Gate:
    """Hold a stage's spec, and everything that it leads to, against the agency's policy, which is returned.

    Raises as open_gate.

    Args:
        spec: Of an agency's stage.
        roster: The one that the agency approved; None before that.
    """
    gate = open_gate(spec)
    gate.check_config(
        load_scenario(spec.federation, spec.scenario), load_source(spec.federation, spec.agency, spec.scenario)
    )
    if roster is not None:
        gate.check_roster(roster)
    return gate
