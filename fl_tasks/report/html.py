"""report.html: the report for people, one file that needs nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from fl_tasks.contracts.report import Evaluation, Report

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.3rem .6rem;border-bottom:1px solid #d8dee4;text-align:left}
td.n,th.n{text-align:right}.held{color:#9a6700}.failed{color:#b42318}.promoted{color:#1a7f37}
code{font-size:.85em;overflow-wrap:anywhere}
"""


def render(report: Report) -> str:
    """Return the report as one HTML page without scripts or links to elsewhere."""
    start, end = (time.strftime("%Y-%m-%d") for time in report.data_interval)
    parts = [
        f"<h1>{escape(report.scenario)}: <span class={report.status}>{report.status}</span></h1>",
        f"<p>{escape(report.reason)}</p>",
        f"<p>Run <code>{escape(report.run_id)}</code>, data {start} to {end}.</p>",
        _agencies(report),
        _evaluation(report),
        _rounds(report),
        _egress(report),
    ]
    head = f"<meta charset=utf-8><title>{escape(report.run_id)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _table(headers: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in headers)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"<td class=n>{value:.3f}</td>"
    if isinstance(value, int):
        return f"<td class=n>{value:,}</td>"
    return f"<td>{escape('' if value is None else str(value))}</td>"


def _agencies(report: Report) -> str:
    rows: list[tuple[object, ...]] = [(agency, "in the cohort", "") for agency in report.cohort]
    rows += [(agency, "left out", reason) for agency, reason in report.excluded.items()]
    text = ""
    if report.secagg:
        secagg = report.secagg
        text = (
            f"<p>Secure aggregation: {secagg.n} agencies, every sum over at least {secagg.t}, of which at least "
            f"{secagg.least_honest} are honest while no more than {secagg.n_c} collude with the coordinator.</p>"
        )
    return "<h2>Agencies</h2>" + text + _table(("agency", "", "reason"), rows)


def _evaluation(report: Report) -> str:
    def lines(name: str, evaluation: Evaluation) -> Iterable[tuple[object, ...]]:
        for horizon in evaluation.federated:
            kinds = (evaluation.federated, evaluation.local_only, evaluation.persistence)
            errors = [kind[horizon] for kind in kinds if horizon in kind]
            yield (name, horizon, *(metric.rmse for metric in errors), *(metric.mae for metric in errors))

    rows = [line for name, item in report.evaluation.agencies.items() for line in lines(name, item)]
    rows += lines("all", report.evaluation.overall)
    heads = [f"{kind} {error}" for error in ("RMSE", "MAE") for kind in ("federated", "local-only", "persistence")]
    return f"<h2>Held-back data, errors in {escape(report.unit)}</h2>" + _table(("agency", "horizon", *heads), rows)


def _rounds(report: Report) -> str:
    rows = (
        (
            item.round,
            item.status,
            ", ".join(item.survivors),
            ", ".join(f"{agency} at {stage}" for agency, stage in item.lost.items()),
            item.loss,
            item.seconds,
            (item.model_sha256 or "")[:16],
        )
        for item in report.rounds
        if item.status != "skipped"
    )
    heads = ("round", "status", "survivors", "lost", "training loss", "seconds", "model")
    return "<h2>Rounds</h2>" + _table(heads, rows)


def _egress(report: Report) -> str:
    rows = []
    for agency, files in report.egress.items():
        purposes: dict[str, tuple[int, int]] = {}
        for file in files:
            count, size = purposes.get(file.purpose, (0, 0))
            purposes[file.purpose] = (count + 1, size + file.bytes)
        rows += [(agency, purpose, count, size) for purpose, (count, size) in purposes.items()]
    return "<h2>What left each agency</h2>" + _table(("agency", "purpose", "files", "bytes"), rows)
