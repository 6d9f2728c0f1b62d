"""Made-up reports to render: whole, failed, large, and with everything in a text that could break a page."""

from __future__ import annotations

import datetime as dt
import math

from fl_tasks.contracts.report import (
    AgencyPrivacy,
    AgencyQuality,
    ClassMetric,
    Evaluation,
    EvaluationReport,
    ForecastMetric,
    GateReport,
    ModelReport,
    ProfilePoint,
    Report,
    Resources,
    RoundReport,
    SecAggReport,
    Seconds,
    Sent,
)

INTERVAL = (
    dt.datetime(2018, 6, 1, tzinfo=dt.timezone(dt.timedelta(hours=-4))),
    dt.datetime(2018, 7, 1, tzinfo=dt.timezone(dt.timedelta(hours=-4))),
)
UNITS = {"california_pems": "vehicles/h", "los_angeles": "mph", "minneapolis_i94": "vehicles/h", "new_york": "trips/h"}
_STDS = {"mph": 13.1, "vehicles/h": 1985.0, "trips/h": 121.5}
_MODELS = {"federated": 0.31, "local_only": 0.33, "persistence": 0.48, "seasonal_naive": 0.55, "champion": 0.32}
_STAGES = ("ingest", "standardize", "validate", "cohort", "keys", "shares", "train", "ack", "reveal", "aggregate")


def metric(scaled: float, std: float) -> ForecastMetric:
    return ForecastMetric(
        mae=scaled * std * 0.7,
        rmse=scaled * std,
        n=48_310,
        last_step_mae=scaled * std,
        last_step_rmse=scaled * std * 1.3,
        scaled_mae=scaled * 0.7,
        scaled_rmse=scaled,
    )


def evaluation(unit: str, shift: float, *, champion: bool = True) -> Evaluation:
    std = _STDS.get(unit, 1.0)
    return Evaluation(
        **{
            name: {f"{h}h": metric((scaled + shift) * (0.8 + 0.2 * h), std) for h in (1, 2, 3)}
            for name, scaled in _MODELS.items()
            if champion or name != "champion"
        }
    )


def profile(shift: float) -> tuple[ProfilePoint, ...]:
    truth = [math.sin((hour - 8) / 24 * 2 * math.pi) + shift for hour in range(24)]
    return tuple(
        ProfilePoint(hour=hour, truth=value, forecast=value * 0.93 + 0.05, n=900) for hour, value in enumerate(truth)
    )


def sent(agency: str, rounds: int) -> tuple[Sent, ...]:
    files = [("setup/keys", "public keys", 9000), ("checks", "verdict on its data", 720)]
    files += [(f"r/{r}/up", "masked update", 61_452) for r in range(1, rounds + 1)]
    files += [(f"r/{r}/ack", "ack of a manifest", 232) for r in range(1, rounds + 1)]
    return tuple(
        Sent(file=f"{name}/{agency}", bytes=size, sha256="ab" * 32, purpose=purpose) for name, purpose, size in files
    )


def whole(agencies: dict[str, str] = UNITS, *, rounds: int = 10, champion: bool = True) -> Report:
    """A promoted run of several agencies: one round burnt, agencies lost at every stage, one left out."""
    names = tuple(sorted(agencies))
    results = [RoundReport(round=1, status="burnt", lost=dict.fromkeys(names[:2], "train"), seconds=31.0)]
    for r in range(2, rounds + 2):
        lost = {2: {names[0]: "train"}, 3: {names[1]: "ack"}, 5: {names[2]: "reveal"}}.get(r, {})
        results.append(
            RoundReport(
                round=r,
                status="aggregated",
                survivors=tuple(name for name in names if lost.get(name) != "train"),
                lost=lost,
                loss=0.31 / math.sqrt(r),
                validation_loss=0.35 / math.sqrt(r) + 0.02,
                clipped=0,
                seconds=34.5 + r,
                model_sha256=f"{r:x}" * 64 if r < 16 else "f" * 64,
            )
        )
    results.append(RoundReport(round=rounds + 2, status="skipped"))
    units = set(agencies.values())
    unit = units.pop() if len(units) == 1 else "scaled"
    return Report(
        run_id="traffic__manual__2018-07-02T00:00:00+00:00",
        scenario="traffic",
        status="promoted",
        reason="",
        data_interval=INTERVAL,
        unit=unit,
        cohort=names,
        excluded={"xi_an": "standardize: data_rejected: no row is left <after> the rules; 没有数据 & nothing"},
        secagg=SecAggReport(n=len(names) + 1, t=3, n_c=1, least_honest=2, mode="active"),
        rounds=tuple(results),
        evaluation=EvaluationReport(
            overall=evaluation(unit, 0.0, champion=champion),
            agencies={
                name: evaluation(agencies[name], i / len(names) / 10, champion=champion) for i, name in enumerate(names)
            },
            units=agencies,
            profiles={name: profile(i / 10) for i, name in enumerate(names)},
        ),
        privacy={
            name: AgencyPrivacy(identifiers={"last_plate": "hash"}, suppressed=9_120 if i == 0 else None)
            for i, name in enumerate(names)
        },
        quality={
            names[0]: AgencyQuality(
                warnings=("recency/expect_column_max_to_be_between: newest row within two days of the end",),
                notes=("replayed by 329 weeks", "2018-05 changed since the last accepted run"),
            )
        },
        gate=GateReport(
            decision="promoted",
            reason="better than version 3 at 3 of 4 agencies, 3 needed",
            reference="version 3",
            better=names[:3],
            worse=(),
        ),
        model=ModelReport(version=4, sha256="c" * 64, parent="d" * 64),
        egress={name: sent(name, rounds) for name in names},
        resources=Resources(peak_pss_bytes=2_345_678_901),
        seconds=Seconds(total=512.3, by_stage={stage: 11.5 * (i + 1) for i, stage in enumerate(_STAGES)}),
    )


def failed() -> Report:
    """A run that found no cohort: nothing was learned, measured or sent."""
    return Report(
        run_id="traffic__scheduled__2018-07-01",
        scenario="traffic",
        status="failed",
        reason="1 agencies passed their data checks, 3 are needed",
        data_interval=INTERVAL,
        unit="scaled",
        excluded={"los_angeles": "ingest: input_error: incoming: line 3: column 's2': not a number"},
    )


def class_metric(good: float, **changes) -> ClassMetric:
    """Two classes; `good` from 0 to 1."""
    values = {"n": 210, "accuracy": 0.8 + good / 10, "log_loss": 0.5 - good / 4, "brier": 0.15 - good / 10}
    return ClassMetric(**values, calibration=0.03, auc=0.6 + good / 5, opportunity_gap=0.12 - good / 20, **changes)


def classes(*, champion: bool = True, agencies: tuple[str, ...] = ("anatolia", "north", "south", "west")) -> Report:
    """A promoted run that classifies people; at the first agency too few rows are positive for AUC and gap."""
    goods = {"federated": 0.9, "local_only": 0.6, "majority": 0.0, "champion": 0.8}
    chosen = {model: good for model, good in goods.items() if champion or model != "champion"}
    found = {
        agency: Evaluation(
            **{model: {"poor_at_risk": class_metric(good - 0.4 * i / len(agencies))} for model, good in chosen.items()}
        )
        for i, agency in enumerate(agencies)
    }
    few = {
        model: {"poor_at_risk": getattr(found[agencies[0]], model)["poor_at_risk"].model_copy(
            update={"auc": None, "opportunity_gap": None}
        )}
        for model in chosen
    }  # fmt: skip
    found[agencies[0]] = Evaluation(**few)
    overall = Evaluation(**{model: {"poor_at_risk": class_metric(good)} for model, good in chosen.items()})
    evaluation = EvaluationReport(overall=overall, agencies=found, units=dict.fromkeys(agencies, "share"))
    return whole(dict.fromkeys(agencies, "share")).model_copy(
        update={"scenario": "welfare", "evaluation": evaluation, "unit": "share"}
    )
