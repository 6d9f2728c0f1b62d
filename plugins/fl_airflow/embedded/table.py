"""What a finished run prints: figures per agency and horizon, the gate, who was left out and what was noted."""

from __future__ import annotations

import textwrap

from fl_tasks.contracts.report import Evaluation, Figure, GateReport, Metric, Report
from fl_tasks.report.comparison import figure, figure_names, sentences

WIDTH = 120
"""Longest line, in characters."""

_MODELS = ("federated", "local_only", "persistence", "majority", "champion")
_HEADS = {"local_only": "local", "persistence": "persist."}
_FIGURES = 3  # of each model at most, where they fit; the report has all
_NAME, _CELL = 22, 10
# 22 + 1 for a name, 16 for the longest unit, and 8 cells: 119.


def summary(report: Report) -> str:
    """Return the table of one report: a row an agency, each model's first figures."""
    lines: list[str] = []
    rows = [*sorted(report.evaluation.agencies.items()), ("overall", report.evaluation.overall)]
    for horizon in dict.fromkeys(horizon for _, item in rows for model in _MODELS for horizon in _of(item, model)):
        lines += [*_block(report, rows, horizon), ""]
    aggregated = sum(round_.status == "aggregated" for round_ in report.rounds)
    lines += _wrapped("status", report.status + (f": {report.reason}" if report.reason else ""))
    if report.gate:
        lines += _wrapped("gate", _gate_text(report.gate, report.reason))
    for sentence in sentences(report):
        lines += _wrapped("compared", sentence)
    lines += _wrapped("cohort", f"{', '.join(report.cohort) or 'none'}; {aggregated} rounds aggregated")
    for agency, reason in sorted(report.excluded.items()):
        lines += _wrapped("left out", f"{agency}: {reason}")
    for agency, quality in sorted(report.quality.items()):
        for kind, texts in (("warning", quality.warnings), ("note", quality.notes)):
            for text in texts:
                lines += _wrapped(kind, f"{agency}: {text}")
    for agency, privacy in sorted(report.privacy.items()):
        told = [f"{column} {fate}" for column, fate in sorted(privacy.identifiers.items())]
        reached = {"k": privacy.k, "l": privacy.l, "t": privacy.t}
        told += [f"{name} = {value:g}" for name, value in reached.items() if value is not None]
        if privacy.suppressed is not None:
            told.append(f"{privacy.suppressed:,} {'cells' if privacy.k is None else 'rows'} suppressed")
        if told:
            lines += _wrapped("privacy", f"{agency}: {', '.join(told)}")
    return "\n".join(lines)


def _block(report: Report, rows: list[tuple[str, Evaluation]], horizon: str) -> list[str]:
    """One horizon's rows."""
    models = [model for model in _MODELS if any(horizon in _of(item, model) for _, item in rows)]
    units = {name: report.evaluation.units.get(name, report.unit) for name, _ in rows}
    name_width = min(_NAME, max(len(name) for name, _ in rows)) + 1
    unit_width = max(len(unit) for unit in units.values())
    start, side = name_width + unit_width, _CELL * len(models)
    names = figure_names(_of(item, model).get(horizon) for _, item in rows for model in models)
    heads = names[: min(_FIGURES, (WIDTH - start) // side)]
    lines = [
        f"{horizon:{start}}" + "".join(f"{head:>{side}}" for head in heads),
        " " * start + "".join(f" {_HEADS.get(model, model):>{_CELL - 1}}" for model in models * len(heads)),
    ]
    for name, item in rows:
        found: list[Metric | None] = [_of(item, model).get(horizon) for model in models]
        if any(found):
            cells = [_cell(figure(metric, head)) for head in heads for metric in found]
            lines.append(f"{_short(name):{name_width}}{units[name]:{unit_width}}{''.join(cells)}")
    return lines


def _of(evaluation: Evaluation, model: str) -> dict[str, Metric]:
    horizons: dict[str, Metric] = getattr(evaluation, model)
    return horizons


def _cell(one: Figure | None) -> str:
    if one is None:
        return f"{'-':>{_CELL}}"
    value = one.value
    return f"{value:{_CELL}.{3 if value < 1000 else 1 if value < 1e6 else 0}f}"


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _gate_text(gate: GateReport, said: str) -> str:
    """Return the gate's decision; its reason is mostly the run's own, and then not said twice."""
    text = f"{gate.decision} against {gate.reference}" + ("" if gate.reason == said else f": {gate.reason}")
    text += f"; better at {', '.join(gate.better) or 'no agency'}"
    if gate.worse:
        text += f"; worse by more than the tolerance at {', '.join(gate.worse)}"
    return text + ("; a backfill" if gate.backfill else "")


def _wrapped(label: str, text: str) -> list[str]:
    """Return a labelled text in lines that fit, indented from the second on."""
    # Reasons come from other parties: no control sequence of theirs reaches a terminal.
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return textwrap.wrap(f"{label + ':':9} {printable}", WIDTH, subsequent_indent=" " * 10, break_on_hyphens=False)
