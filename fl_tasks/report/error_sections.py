"""How good the models are: against the baselines, and forecast beside truth by hour of the day."""

from __future__ import annotations

from collections.abc import Sequence

from fl_tasks.contracts.report import (
    SCALED,
    ClassMetric,
    Evaluation,
    Figure,
    ForecastMetric,
    Metric,
    ProfilePoint,
    Report,
)
from fl_tasks.report.charts import ROOM_FOR_FIGURES, Axis, Line, grouped_bars, line_chart
from fl_tasks.report.comparison import WHY, figure, figure_names, sentences
from fl_tasks.report.markup import NOTHING, Markup, join, number, paragraph, section, table, tag

MODELS = ("federated", "local_only", "persistence", "seasonal_naive", "majority", "champion")
"""Ways of forecasting, in the order of every table and chart; the first is judged against the others."""
_FIGURES = 2  # of each model; all stand in report.json

_WINDOWS = (
    "Over all windows whose targets lie in the last part of an agency's own span, which no training saw; steps 1 to "
    "the horizon together. Each agency in its own unit, all agencies in {}. Bold: the best of its row. “Scaled” is in "
    "standard deviations of the agency's fit part, so that agencies compare. The last step alone stands in report.json."
)
_ROWS = (
    "Over rows that were held back and that no training saw. Bold: an agency's best. All agencies: means over their "
    "rows, of AUC and gap the mean over the agencies. Majority: the classes' shares among the training rows, for every "
    "row alike. Calibration: how far the probabilities are from what happens. Gap: the largest difference between "
    "protected groups in the share of their positive rows that is found. AUC and a group's share are given only where "
    "so many rows are positive that no single one shows."
)


def errors(report: Report) -> Markup:
    """Return tables and bars of all agencies and horizons; a run without an evaluation says so."""
    rows = [*sorted(report.evaluation.agencies.items())]
    if not rows:
        return section("Held-back data", paragraph("The model was not evaluated in this run."))
    rows.append(("all agencies", report.evaluation.overall))
    horizons = list(dict.fromkeys(h for _, item in rows for model in MODELS for h in getattr(item, model)))
    overall_unit = "standard deviations (scaled)" if report.unit == SCALED else report.unit
    first = next(metric for _, item in rows for model in MODELS for metric in getattr(item, model).values())
    classes = isinstance(first, ClassMetric)
    parts: list[Markup] = [paragraph(_ROWS if classes else _WINDOWS.format(overall_unit))]
    parts += [paragraph(f"{WHY} {'. '.join(compared)}.") for compared in [sentences(report)] if compared]
    for horizon in horizons:
        models = [m for m in MODELS if any(horizon in getattr(item, m) for _, item in rows)]
        parts += [
            tag("h3", horizon if classes else f"Horizon {horizon}"),
            _by_model(rows, horizon, models) if classes else _own_units(report, rows, horizon, models),
            _scaled(rows, horizon, models),
        ]
    return section("Held-back data", *parts)


def _own_units(report: Report, rows: list[tuple[str, Evaluation]], horizon: str, models: list[str]) -> Markup:
    names = [_model_text(model) for model in models]
    lines = []
    heads: dict[str, None] = {}
    for agency, item in rows:
        unit = report.evaluation.units.get(agency, report.unit)
        found: list[Metric | None] = [getattr(item, model).get(horizon) for model in models]
        if not any(found):
            continue
        columns = [[m.figures[place] if m else None for m in found] for place in range(_FIGURES)]
        heads.update(dict.fromkeys(figure.name for column in columns for figure in column if figure))
        lines.append(
            (agency, unit, *(cell for column in columns for cell in _best(column)), next(m.n for m in found if m))
        )
    groups = [("", 2), *((name, len(models)) for name in heads), ("", 1)]
    return table(("agency", "unit", *names * len(heads), "values"), lines, groups=groups)


def _by_model(rows: list[tuple[str, Evaluation]], target: str, models: list[str]) -> Markup:
    """A row an agency and model, with every figure: shares have no unit, and all of them belong together."""
    metrics: dict[tuple[str, str], Metric] = {
        (agency, model): metric
        for agency, item in rows
        for model in models
        if (metric := getattr(item, model).get(target))
    }
    heads = figure_names(metrics.values())
    lines = []
    for agency in dict.fromkeys(agency for agency, _ in metrics):
        own = {model: metrics[agency, model] for model in models if (agency, model) in metrics}
        columns = [_best([figure(metric, head) for metric in own.values()]) for head in heads]
        for place, (model, metric) in enumerate(own.items()):
            lines.append((agency, _model_text(model), *(column[place] for column in columns), metric.n))
    return table(("agency", "model", *heads, "rows"), lines)


def _best(figures: Sequence[Figure | None]) -> list[object]:
    """Mark the best of a row."""
    found = [figure for figure in figures if figure is not None]
    choose = max if found and found[0].higher_is_better else min
    best = choose((figure.value for figure in found), default=None)
    return [figure and (_bold(figure.value) if figure.value == best else figure.value) for figure in figures]


def _bold(value: float) -> Markup:
    return tag("td", number(value), class_="n best")


def _scaled(rows: list[tuple[str, Evaluation]], horizon: str, models: list[str]) -> Markup:
    """Bars, and the figures in a table where bars have no room for them."""
    groups: list[tuple[str, list[Figure | None]]] = []
    first = figure_names(getattr(item, model).get(horizon) for _, item in rows for model in models)[0]
    for agency, item in rows:
        found: list[Metric | None] = [getattr(item, model).get(horizon) for model in models]
        if any(found):
            groups.append((agency, [m.scaled if isinstance(m, ForecastMetric) else figure(m, first) for m in found]))
    names = [_model_text(model) for model in models]
    shown = next(one for _, figures in groups for one in figures if one)
    better = "longer" if shown.higher_is_better else "shorter"
    title = f"{shown.name[0].upper()}{shown.name[1:]}, {horizon} ({better} is better)"
    bars = grouped_bars(title, names, [(agency, [one and one.value for one in figures]) for agency, figures in groups])
    if len(groups) <= ROOM_FOR_FIGURES:
        return bars
    return join((bars, table((shown.name, *names), ((agency, *_best(figures)) for agency, figures in groups))))


def profiles(report: Report) -> Markup:
    """Return each agency's mean truth and forecast by hour of the day."""
    charts = [_profile(agency, points) for agency, points in sorted(report.evaluation.profiles.items()) if points]
    if not charts:
        return NOTHING
    text = (
        "Mean of the held-back truth and of the federated forecast (last step of the longest horizon) by the hour of "
        "the day in which that step begins, in standard deviations of the agency's fit part. Each point is a mean over "
        "all series of an agency and over more values than the small-cell limit; hours with fewer are left out. "
        "Pictures of single series do not leave an agency: they lie in its own forecasts folder."
    )
    return section("Forecast against truth", paragraph(text), tag("div", *charts, class_="many"))


def _profile(agency: str, points: tuple[ProfilePoint, ...]) -> Markup:
    ordered = sorted(points, key=lambda point: point.hour)
    lines = (
        Line("truth", tuple((point.hour, point.truth) for point in ordered)),
        Line("federated forecast", tuple((point.hour, point.forecast) for point in ordered)),
    )
    hours = Axis("hour of the day", ticks=(0, 4, 8, 12, 16, 20, 24))
    return line_chart(agency, lines, hours, Axis("standard deviations"), size=(400, 240))


def _model_text(model: str) -> str:
    return {"local_only": "local-only", "seasonal_naive": "seasonal naive"}.get(model, model)
