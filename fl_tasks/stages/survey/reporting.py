"""What a run's report says of its survey."""

from __future__ import annotations

from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.errors import FLError, MissingInput
from fl_tasks.contracts.report import SurveyReport
from fl_tasks.contracts.roster import Roster
from fl_tasks.contracts.stage import ROUND_STAGES, StageSpec, read_result
from fl_tasks.contracts.survey import SURVEY_ROUND
from fl_tasks.secagg import names
from fl_tasks.stages.checks import read_checks, read_refusals
from fl_tasks.stages.context import Desk, open_desk
from fl_tasks.stages.round_fate import fate_of
from fl_tasks.stages.survey.failure import read_failure
from fl_tasks.stages.survey.published import read_preparation, survey_exchange
from fl_tasks.stages.survey.request import is_surveyed


def survey_report(spec: StageSpec, roster: Roster) -> SurveyReport | None:
    """Gather how a run's survey ended, at the coordinator; None where the scenario has none.

    Raises:
        FLError: If the survey's own messages are not what the coordinator signed.
    """
    config = load_scenario(spec.federation, spec.scenario)
    if not is_surveyed(config):
        return None
    failure = read_failure(spec)
    reason = "" if failure is None else f"{failure.code}: {failure.reason}"
    found = SurveyReport(run_id=spec.survey_run_id, status="failed", reason=reason)
    try:
        desk = open_desk(spec.model_copy(update={"run_id": spec.survey_run_id, "stage": "survey"}))
    except MissingInput:
        checked = read_checks(survey_exchange(spec), roster, spec.survey_run_id, spec.agencies or roster.names)
        passed = f"{len(checked.passed)} agencies passed the checks of their raw data, {roster.t} are needed"
        return found.model_copy(update={"excluded": checked.excluded, "reason": reason or passed})
    fate = fate_of(desk, SURVEY_ROUND, "count")
    found = found.model_copy(
        update={
            "cohort": desk.cohort.agencies,
            "excluded": desk.cohort.excluded,
            "words": desk.cohort.parameters,
            "survivors": fate.survivors,
            "lost": _lost_before(desk) | fate.lost,
            "notes": _notes(desk),
        }
    )
    try:
        body = read_preparation(spec, config, roster)
    except MissingInput:
        return found if reason else found.model_copy(update={"reason": "it did not come to its end"})
    except FLError as error:
        return found.model_copy(update={"reason": f"{error.code}: {error}"})
    return found.model_copy(
        update={"status": "done", "reason": "", "levels": dict(body.preparation.levels), "kept": body.kept}
    )


def survey_refusals(spec: StageSpec, roster: Roster) -> dict[str, str]:
    """Return what agencies said when they refused to go on with a run's survey; empty where the scenario has none."""
    if not is_surveyed(load_scenario(spec.federation, spec.scenario)):
        return {}
    return read_refusals(survey_exchange(spec), roster, spec.survey_run_id)


def _notes(desk: Desk) -> tuple[str, ...]:
    """What the coordinator's steps said of messages that they refused."""
    specs = (
        desk.spec.model_copy(update={"stage": stage, "round": SURVEY_ROUND if stage in ROUND_STAGES else None})
        for stage in ("list", "close", "manifest")
    )
    found = ((spec.stage, read_result(spec).reason) for spec in specs if spec.result_path.exists())
    return tuple(f"{stage}: {reason}" for stage, reason in found if reason)


def _lost_before(desk: Desk) -> dict[str, str]:
    """Who of the cohort is not in the closed set, and at which step of the set-up it was lost."""
    if desk.exchange.find(names.CLOSE) is None:
        return {}
    closed = desk.agency_names(desk.closed().ids)
    return {agency: _step(desk, agency) for agency in desk.cohort.agencies if agency not in closed}


def _step(desk: Desk, agency: str) -> str:
    if desk.exchange.find(names.keys(agency)) is None:
        return "keys"
    return "ready" if desk.exchange.names(f"setup/shares/{agency}") else "shares"
