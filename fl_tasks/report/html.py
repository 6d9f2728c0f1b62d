"""report.html: the report for people, one file that needs nothing from anywhere and prints as it looks."""

from __future__ import annotations

import datetime as dt

from fl_tasks.contracts.report import GateReport, Report
from fl_tasks.report import error_sections, run_sections, survey_section
from fl_tasks.report.markup import NOTHING, Markup, join, paragraph, tag

_STYLE = """
body{font:15px/1.5 system-ui,"Noto Sans","Noto Sans CJK SC","Microsoft YaHei",sans-serif;max-width:72rem;
margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.6rem;margin-bottom:.3rem}h2{font-size:1.2rem;margin:2.2rem 0 .5rem;border-bottom:2px solid #1b1f24}
h3{font-size:1rem;margin:1.2rem 0 .3rem}p{margin:.4rem 0;max-width:60rem}
.status{border:2px solid;border-radius:.3rem;padding:0 .5rem}
.promoted{color:#0b6b2d}.held{color:#7a5200}.failed{color:#a3190f}
.wide{overflow-x:auto;margin:.5rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.87rem}
td,th{padding:.22rem .42rem;border-bottom:1px solid #d8dee4;text-align:left;vertical-align:top}
th{border-bottom:1px solid #1b1f24;vertical-align:bottom}th[scope=colgroup]{text-align:center;border-bottom:0}
td:first-child{white-space:nowrap}td.n,th.n{text-align:right}td.n{white-space:nowrap}
td.remarks{overflow-wrap:anywhere}td.best{font-weight:700}
td.sum{border-top:1px solid #1b1f24;font-weight:700}

.fate td,.fate th{text-align:center;padding:.15rem .35rem;white-space:nowrap}
.fate :first-child{text-align:left}
td.kept{background:#e3f2e6}td.half{background:#fdf3d0}td.gone{background:#fbdcd8}td.burnt{background:#e4e4ea}
svg{display:block;width:100%;max-width:60rem;height:auto;margin:.6rem 0;font-family:inherit}
.many{display:grid;grid-template-columns:repeat(auto-fill,minmax(22rem,1fr));gap:.5rem 1.5rem}
.small{font-size:.95em}code{font-size:.88em;overflow-wrap:anywhere}
@media print{body{margin:0;max-width:none;font-size:10pt}h2,h3{break-after:avoid}svg,tr{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.wide{overflow:visible}table{font-size:8pt}
td,th{padding:.12rem .3rem}}
"""


def render(report: Report) -> str:
    """Return the report as one HTML page, without scripts or links to elsewhere."""
    head = join(
        (
            Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", f"{report.scenario}: {report.status} ({report.run_id})"),
            tag("style", Markup(_STYLE)),
        )
    )
    body = tag(
        "body",
        _headline(report),
        run_sections.agencies(report),
        survey_section.survey(report),
        error_sections.errors(report),
        error_sections.profiles(report),
        run_sections.losses(report),
        run_sections.fates(report),
        run_sections.egress(report),
        run_sections.privacy(report),
        run_sections.resources(report),
        run_sections.model(report),
    )
    return f'<!doctype html>\n<html lang="en">{tag("head", head)}{body}</html>\n'


def _headline(report: Report) -> Markup:
    start, end = report.data_interval
    status = tag("span", report.status, class_=f"status {report.status}")
    return join(
        (
            tag("h1", f"{report.scenario}: ", status),
            paragraph(report.reason),
            _gate(report.gate, report.reason) if report.gate else NOTHING,
            tag(
                "p", "Run ", tag("code", report.run_id), f", data from {_moment(start)} to {_moment(end)} (exclusive)."
            ),
        )
    )


def _gate(gate: GateReport, said: str) -> Markup:
    """Return the gate's decision; its reason is mostly the run's own, and then not said twice."""
    reason = "" if gate.reason == said else f": {gate.reason}"
    sentences = [f"Gate: {gate.decision}, compared with {gate.reference}{reason}."]
    if gate.backfill:
        sentences.append("This run is a backfill: a newer interval has had a champion.")
    names = (
        ("Better at", gate.better, "no agency"),
        ("Worse by more than the tolerance at", gate.worse, "no agency"),
    )
    sentences += [f"{text}: {', '.join(who) or nobody}." for text, who, nobody in names]
    return join(paragraph(sentence) for sentence in sentences)


def _moment(time: dt.datetime) -> str:
    return time.isoformat(sep=" ", timespec="minutes")
