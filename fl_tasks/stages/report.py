"""report: gather what the run left into report.json and report.html. Written for failed runs too."""

from __future__ import annotations

import datetime as dt
import json
from statistics import fmean

from fl_tasks.contracts.base import sha256_hex, write_atomic
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.config import ScenarioConfig
from fl_tasks.contracts.errors import MissingInput
from fl_tasks.contracts.report import (
    SCALED,
    Evaluation,
    EvaluationReport,
    Figure,
    GateReport,
    LocalComparison,
    Metric,
    ModelReport,
    Report,
    Resources,
    RoundReport,
    SecAggReport,
    Seconds,
    Sent,
)
from fl_tasks.contracts.roster import Roster
from fl_tasks.contracts.stage import DatasetRef, StageResult, StageSpec
from fl_tasks.contracts.tensors import tensors_from_bytes, tensors_sha256
from fl_tasks.exchange.store import Exchange
from fl_tasks.report.comparison import figure, figure_names
from fl_tasks.report.html import render
from fl_tasks.scenarios import load
from fl_tasks.secagg import names
from fl_tasks.stages.answer import read_answers
from fl_tasks.stages.approval import agreement, refusal
from fl_tasks.stages.champions import promotion_of
from fl_tasks.stages.checks import read_checks, read_refusals
from fl_tasks.stages.context import Desk, exchange_of, exchange_refs, load_roster, open_desk
from fl_tasks.stages.evaluations import read_evaluations
from fl_tasks.stages.gate import read_gate
from fl_tasks.stages.model_state import FINAL_MODEL, FINAL_WEIGHTS, load_record, load_records
from fl_tasks.stages.round_fate import fate_of
from fl_tasks.stages.survey.published import survey_exchange
from fl_tasks.stages.survey.reporting import survey_refusals, survey_report

LINEAGE = "openlineage.jsonl"

_PURPOSES = (
    ("plan/answer/", "decision on the plan"),
    ("checks/", "verdict on its data"),
    ("setup/keys/", "public keys"),
    ("setup/shares/", "encrypted key shares"),
    ("setup/ready/", "ready message"),
    ("/up/", "masked update"),
    ("/ack/", "ack of a manifest"),
    ("/reveal/", "key shares of a round"),
    ("head/", "head of its journal"),
    ("evaluation/", "error metrics"),
)


def run(spec: StageSpec) -> StageResult:
    """Write the run's report; the status is failed unless all rounds and every survivor's evaluation are there."""
    report = gather(spec)
    folder = spec.places.report(spec.run_id)
    content = json.dumps(report.model_dump(mode="json", by_alias=True), indent=1).encode()
    write_atomic(folder / "report.json", content, mode=0o644)
    write_atomic(folder / "report.html", render(report).encode(), mode=0o644)
    return StageResult(
        stage="report",
        status="done",
        reason=f"{report.status}: {report.reason}"[:500],
        digests={"report": sha256_hex(content)},
        inputs=exchange_refs(names.COHORT),
        outputs=tuple(
            DatasetRef(namespace="coordinator", name=f"runs/{spec.run_id}/report.{x}") for x in ("json", "html")
        ),
    )


def gather(spec: StageSpec) -> Report:
    """Collect a report from the exchange and the coordinator's records."""
    roster = load_roster(spec.places.coordinator, spec.scenario)
    exchange = exchange_of(spec)
    secagg = SecAggReport(
        n=len(roster.members),
        t=roster.t,
        n_c=roster.secagg.n_c,
        least_honest=roster.t - roster.secagg.n_c,
        mode=roster.secagg.mode,
    )
    survey = survey_report(spec, roster)
    common = Report(
        run_id=spec.run_id,
        scenario=spec.scenario,
        status="failed",
        data_interval=spec.data_interval,
        unit=SCALED,
        approvals=read_answers(exchange, roster, spec.run_id),
        secagg=secagg,
        survey=survey,
        refused=survey_refusals(spec, roster),
        egress=_egress(spec, roster),
        lineage=LINEAGE if (spec.places.report(spec.run_id) / LINEAGE).exists() else None,
        resources=Resources(peak_pss_bytes=_peak_pss(spec)),
        seconds=Seconds(
            total=_seconds_since(spec.run_started),
            by_stage={str(stage): seconds for stage, seconds in spec.seconds_by_stage.items()},
        ),
    )
    try:
        desk = open_desk(spec)
    except MissingInput:
        if survey is not None and survey.status == "failed":
            reason = f"the survey failed: {survey.reason}"
            return common.model_copy(update={"excluded": survey.excluded, "reason": reason})
        verdicts = read_checks(exchange, roster, spec.run_id, spec.agencies or roster.names)
        reason = f"{len(verdicts.passed)} agencies passed their data checks, {roster.t} are needed"
        return common.model_copy(update={"excluded": verdicts.excluded, "reason": reason})
    rounds = _rounds(desk)
    evaluation = _evaluation(desk)
    gate = read_gate(spec)
    promotion = promotion_of(spec)
    verdicts = read_checks(exchange, roster, spec.run_id, desk.cohort.agencies)
    update: dict[str, object] = {
        "cohort": desk.cohort.agencies,
        "excluded": desk.cohort.excluded,
        "refused": common.refused | read_refusals(exchange, roster, spec.run_id),
        "rounds": rounds,
        "evaluation": evaluation,
        "unit": overall_unit(evaluation),
        "privacy": verdicts.privacy,
        "quality": verdicts.quality,
        "comparison": _comparison(evaluation),
        "gate": gate,
        "model": _model(desk, promotion),
    }
    done = sum(record.status == "aggregated" for record in rounds)
    if gate is not None:
        update["status"], update["reason"] = _decided(spec, gate, promotion)
    elif desk.exchange.find(FINAL_MODEL) is None:
        update["reason"] = f"{done} of {desk.cohort.rounds} rounds were aggregated"
    elif len(evaluation.agencies) < roster.t:
        update["reason"] = f"{len(evaluation.agencies)} agencies evaluated the model, {roster.t} are needed"
    else:
        update["reason"] = "the gate came to no decision"
    return common.model_copy(update=update)


def _decided(spec: StageSpec, gate: GateReport, promotion: ChampionBody | None) -> tuple[str, str]:
    """Return status and reason of a run that the gate has judged."""
    if gate.decision == "held":
        return "held", gate.reason
    if promotion is not None:
        return "promoted", f"{gate.reason}{agreement(spec)}"
    refused = refusal(spec)
    if refused is not None:
        return "held", refused
    return "failed", "the gate let the model pass, but its promotion failed"


def _model(desk: Desk, promotion: ChampionBody | None) -> ModelReport:
    """The model that the agencies judged; without one, the newest that was aggregated."""
    records = load_records(desk.spec, desk.roster.r_max)
    final = desk.exchange.find(FINAL_WEIGHTS)
    sha256 = records[-1].model_sha256 if records else None
    if final is not None:
        sha256 = tensors_sha256(tensors_from_bytes(final, source=FINAL_WEIGHTS)).hex()
    return ModelReport(
        version=None if promotion is None else promotion.version, sha256=sha256, parent=desk.cohort.model_sha256
    )


def _rounds(desk: Desk) -> tuple[RoundReport, ...]:
    return tuple(_round(desk, r) for r in range(1, desk.roster.r_max + 1))


def _round(desk: Desk, round_: int) -> RoundReport:
    fate = fate_of(desk, round_, "train")
    record = load_record(desk.spec, round_)
    if record is None:
        verdict = RoundReport(round=round_, status="burnt" if fate.burnt else "skipped")
        return verdict.model_copy(update={"survivors": fate.survivors, "lost": fate.lost})
    return RoundReport(
        round=round_,
        status="aggregated",
        survivors=fate.survivors,
        lost=fate.lost,
        loss=record.loss,
        validation_loss=record.validation_loss,
        clipped=record.clipped,
        seconds=record.seconds,
        model_sha256=record.model_sha256,
    )


def _evaluation(desk: Desk) -> EvaluationReport:
    bodies = read_evaluations(desk)
    agencies = {agency: body.evaluation for agency, body in bodies.items()}
    units = {agency: body.unit for agency, body in bodies.items()}
    return EvaluationReport(
        overall=_overall(desk.config, agencies, mixed=len(set(units.values())) > 1),
        agencies=agencies,
        units=units,
        profiles={agency: body.profile for agency, body in bodies.items() if body.profile},
    )


def _comparison(evaluation: EvaluationReport) -> dict[str, LocalComparison]:
    """Hold the federated model against the local-only ones, where both were scored."""
    both = {name: one for name, one in evaluation.agencies.items() if one.federated and one.local_only}
    scaled = overall_unit(evaluation) == SCALED
    found: dict[str, LocalComparison] = {}
    for horizon in next((one.federated for one in both.values()), {}):
        # An agency of few rows has no AUC: it is then compared over the others.
        name = figure_names(one.federated[horizon] for one in both.values())[0]
        pairs: dict[str, tuple[Figure, Figure]] = {}
        for agency, one in both.items():
            metrics = one.federated[horizon], one.local_only[horizon]
            together, alone = (metric.scaled if scaled else figure(metric, name) for metric in metrics)
            if together is not None and alone is not None:
                pairs[agency] = together, alone
        if pairs:
            found[horizon] = _compared(pairs)
    return found


def _compared(pairs: dict[str, tuple[Figure, Figure]]) -> LocalComparison:
    """Hold each agency's figure of the federated model against that of its own."""
    first = next(iter(pairs.values()))[0]
    return LocalComparison(
        measure=first.name,
        higher_is_better=first.higher_is_better,
        federated=fmean(together.value for together, _ in pairs.values()),
        local_only=fmean(alone.value for _, alone in pairs.values()),
        alone_better={
            agency: round(abs(1.0 - alone.value / together.value), 4) if together.value else 1.0
            for agency, (together, alone) in pairs.items()
            if (alone.value > together.value if first.higher_is_better else alone.value < together.value)
        },
    )


def overall_unit(evaluation: EvaluationReport) -> str:
    """The unit of the overall errors: the agencies' own if they have one, else standard deviations."""
    units = set(evaluation.units.values())
    return units.pop() if len(units) == 1 else SCALED


def _overall(config: ScenarioConfig, agencies: dict[str, Evaluation], *, mixed: bool) -> Evaluation:
    """Pool the agencies' errors exactly by their number of values, or average scaled ones where units differ."""
    scenario = load(config.scenario)
    pool = scenario.pool_scaled if mixed else scenario.pool
    parts: dict[str, dict[str, Metric]] = {}
    for kind in Evaluation.model_fields:
        found = [getattr(evaluation, kind) for evaluation in agencies.values() if getattr(evaluation, kind)]
        parts[kind] = {horizon: pool([one[horizon] for one in found]) for horizon in (found[0] if found else ())}
    return Evaluation(**parts)


def _egress(spec: StageSpec, roster: Roster) -> dict[str, tuple[Sent, ...]]:
    """Everything that left each agency, by what lies in the exchanges of the run and of its survey."""
    sent: dict[str, list[Sent]] = {agency: [] for agency in roster.names}
    of_survey = survey_exchange(spec)
    # A message of a survey is named with its run: the training has others of the same name.
    _add_sent(sent, of_survey, f"{spec.survey_run_id}/", {"masked update": "masked sums of the survey"})
    _add_sent(sent, exchange_of(spec), "", {})
    return {agency: tuple(files) for agency, files in sent.items() if files}


def _add_sent(sent: dict[str, list[Sent]], exchange: Exchange, prefix: str, other: dict[str, str]) -> None:
    for name in exchange.names():
        purpose = next((text for part, text in _PURPOSES if part in name), None)
        if purpose is None:
            continue
        # setup/shares/<dealer>/<holder>, head/<sender>/<number>; all others end in the sender.
        part = {"setup/shares": 2, "head": 1}.get(name.rpartition("/")[0].rpartition("/")[0], -1)
        owner = name.split("/")[part].partition(".")[0]
        if owner not in sent:  # whoever may write there can leave a file that no agency sent
            continue
        data = exchange.get(name)
        purpose = other.get(purpose, purpose)
        sent[owner].append(Sent(file=f"{prefix}{name}", bytes=len(data), sha256=sha256_hex(data), purpose=purpose))


def _seconds_since(start: dt.datetime | None) -> float | None:
    return None if start is None else round((dt.datetime.now(dt.UTC) - start).total_seconds(), 1)


def _peak_pss(spec: StageSpec) -> int | None:
    """The embedded mode samples memory beside the run; elsewhere nobody does."""
    path = spec.places.report(spec.run_id) / "resources.json"
    return Resources.model_validate_json(path.read_bytes()).peak_pss_bytes if path.exists() else None
