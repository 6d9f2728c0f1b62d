"""Which recoding and scales a stage applies to the rows of a table: those that were agreed on, and no others."""

from __future__ import annotations

from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.secagg.errors import PreparationRefused
from fl_tasks.stages.champions import NoChampion, accept_champion
from fl_tasks.stages.context import StageSkipped, folder_of, load_roster
from fl_tasks.stages.survey.published import accepted
from fl_tasks.stages.survey.request import is_surveyed


def agreed(spec: StageSpec) -> Preparation:
    """Return what this run applies: in a retraining what its survey ended with, else what the champion carries.

    In a retraining the first one that is right is kept in the run's folder, and every later call gives it.

    Raises:
        ConfigError: If the scenario has no survey.
        PreparationRefused: If the survey's end is not signed by the coordinator for this run, interval, roster and
            request, or the champion carries no preparation.
        MissingInput: If the survey has not ended (yet).
        StageSkipped: If a forecast has no champion yet.
    """
    config = load_scenario(spec.federation, spec.scenario)
    if not is_surveyed(config):
        raise ConfigError(f"scenario {spec.scenario}: field data: nothing has to be agreed on; it has no preparation")
    if spec.retrains:
        return accepted(spec, config, load_roster(folder_of(spec), spec.scenario))
    try:
        champion, _ = accept_champion(spec)
    except NoChampion as error:
        # As predict does: there is nothing to score with, and nothing is wrong.
        raise StageSkipped(
            f"{error}; run the DAG federated_retraining__{spec.scenario}, and read its report if it was held"
        ) from error
    if champion.model.preparation is None:
        raise PreparationRefused(
            f"champion record {champion.number} carries no preparation: it was not trained on a table; "
            "a retraining has to promote another one first"
        )
    return champion.model.preparation
