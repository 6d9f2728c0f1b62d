"""The report's sections on the run itself: who took part, what was lost, what left an agency, what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from fl_tasks.contracts.report import AgencyPrivacy, Report, RoundReport
from fl_tasks.report.charts import Axis, Line, grouped_bars, line_chart
from fl_tasks.report.markup import NOTHING, Markup, number, paragraph, section, table, tag

# So that a table of a long run still fits on paper.
_ROUNDS_A_TABLE = 16

_LEGEND = (
    "✓ its update counts. ◐ stage: its update counts, and it was lost afterwards at that stage. "
    "✗ stage: lost at that stage, its update does not count. ▲ burnt: the round had too few updates, the next one "
    "started from the last model. - skipped: the round was not needed or not reached. · not in this round's session."
)


def agencies(report: Report) -> Markup:
    """Return who was in, who was left out and why, what each agency notes, and the promise of the sums."""
    parts = [paragraph(_secagg_sentence(report))]
    noted = {**dict.fromkeys(report.cohort, "in the cohort"), **dict.fromkeys(report.excluded, "left out")}
    rows = [
        (agency, noted.get(agency, "-"), _remarks(report, agency))
        for agency in sorted({*noted, *report.quality, *report.approvals})
    ]
    parts.append(table(("agency", "this run", "reason, warnings, notes"), rows) or paragraph("There is no cohort."))
    return section("Agencies", *parts)


def _secagg_sentence(report: Report) -> str:
    secagg = report.secagg
    if secagg is None:
        return ""
    return (
        f"Secure aggregation ({secagg.mode} adversary): of {secagg.n} agencies, every sum that was opened is over at "
        f"least {secagg.t}, of which at least {secagg.least_honest} are honest while no more than {secagg.n_c} "
        "collude with the coordinator. What an agency sends is masked; only such sums are ever opened."
    )


def _remarks(report: Report, agency: str) -> Markup:
    quality, answer = report.quality.get(agency), report.approvals.get(agency)
    lines = [found[agency] for found in (report.excluded, report.refused) if agency in found]
    if answer:
        trial = ", who on this machine is the daemon's own user" if answer.trial else ""
        lines.append(f"plan {answer.verdict} by its {answer.by}{trial}")
    if quality:
        lines += [f"warning: {text}" for text in quality.warnings] + [f"note: {text}" for text in quality.notes]
    return tag("td", *(tag("div", line) for line in lines), class_="remarks")


def losses(report: Report) -> Markup:
    """Return loss by round as a chart, with the burnt rounds, and as a table."""
    rounds = [round_ for round_ in report.rounds if round_.status != "skipped"]
    if not rounds:
        return section("Rounds", paragraph("No round was run."))
    lines = [
        Line("training loss", tuple((r.round, r.loss) for r in rounds if r.loss is not None)),
        Line(
            "validation loss of the round's first model",
            tuple((r.round, r.validation_loss) for r in rounds if r.validation_loss is not None),
        ),
    ]
    burnt = [(float(r.round), "burnt") for r in rounds if r.status == "burnt"]
    chart = line_chart(
        "Loss by round (mean over the survivors' examples)",
        [line for line in lines if line.points],
        Axis("round"),
        Axis("loss"),
        marks=burnt,
    )
    rows = (
        (
            str(r.round),
            r.status,
            len(r.survivors),
            ", ".join(f"{agency} at {stage}" for agency, stage in sorted(r.lost.items())) or "nobody",
            r.loss,
            r.validation_loss,
            r.clipped,
            r.seconds,
            tag("code", (r.model_sha256 or "-")[:16]),
        )
        for r in rounds
    )
    heads = ("round", "status", "survivors", "lost", "loss", "validation loss", "clipped", "seconds", "model")
    return section("Rounds", chart, table(heads, rows))


def fates(report: Report) -> Markup:
    """Return what became of each agency in each round: survived, lost at a stage, burnt, skipped."""
    names = sorted({*report.cohort, *(a for r in report.rounds for a in (*r.survivors, *r.lost))})
    if not names or not report.rounds:
        return NOTHING
    tables = []
    for start in range(0, len(report.rounds), _ROUNDS_A_TABLE):
        part = report.rounds[start : start + _ROUNDS_A_TABLE]
        rows = [(agency, *(_fate(agency, round_) for round_ in part)) for agency in names]
        tables.append(tag("div", table(("agency", *(f"r{r.round}" for r in part)), rows), class_="fate"))
    return section("Survivors and losses by round", paragraph(_LEGEND), *tables)


def _fate(agency: str, round_: RoundReport) -> Markup:
    stage = round_.lost.get(agency)
    if agency in round_.survivors and round_.status == "aggregated":
        return tag("td", f"◐ {stage}", class_="half") if stage else tag("td", "✓", class_="kept")
    if stage:
        return tag("td", f"✗ {stage}", class_="gone")
    if round_.status == "burnt":
        return tag("td", "▲ burnt", class_="burnt")
    return tag("td", "- skipped" if round_.status == "skipped" else "·")


def egress(report: Report) -> Markup:
    """Return files and bytes by agency and purpose, and what they add up to."""
    purposes = list(dict.fromkeys(sent.purpose for files in report.egress.values() for sent in files))
    if not purposes:
        return section("What left each agency", paragraph("Nothing left an agency in this run."))
    rows: list[tuple[object, ...]] = []
    for agency, files in sorted(report.egress.items()):
        by_purpose = [[sent.bytes for sent in files if sent.purpose == purpose] for purpose in purposes]
        rows.append((agency, *map(_sizes, by_purpose), _sizes([sent.bytes for sent in files], "n sum")))
    everything = [sent for files in report.egress.values() for sent in files]
    sums = [[sent.bytes for sent in everything if sent.purpose == purpose] for purpose in purposes]
    total = [sent.bytes for sent in everything]
    rows.append(("all agencies", *(_sizes(sizes, "n sum") for sizes in sums), _sizes(total, "n sum")))
    text = (
        f"Together {len(total):,} files, {sum(total):,} bytes. Each file's name and SHA-256 stand in report.json, "
        "field egress. This is everything that lies in the exchange, by its sender."
    )
    return section("What left each agency", paragraph(text), table(("agency", *purposes, "total"), rows))


def _sizes(sizes: Sequence[int], kind: str = "n") -> Markup:
    if not sizes:
        return tag("td", "-", class_=kind)
    files = "1 file" if len(sizes) == 1 else f"{len(sizes):,} files"
    return tag("td", f"{sum(sizes):,} B", tag("div", files, class_="small"), class_=kind)


def privacy(report: Report) -> Markup:
    """Return what each agency did to identifying data; columns that no agency has are left out."""
    fields = {
        "k": "k",
        "l": "l",
        "t": "t",
        "suppressed": "suppressed rows or cells",
        "suppressed_share": "share suppressed",
        "ncp": "NCP",
        "discernibility": "discernibility",
        "risk_max": "prosecutor's risk",
        "risk_average": "average risk",
        "epsilon": "epsilon",
        "delta": "delta",
    }
    entries = sorted(report.privacy.items())
    shown = [field for field in fields if any(getattr(entry, field) is not None for _, entry in entries)]
    if not shown and not any(entry.identifiers for _, entry in entries):
        return NOTHING
    rows = [(agency, _identifiers(entry), *(getattr(entry, field) for field in shown)) for agency, entry in entries]
    text = (
        "De-identified, not anonymous: identifying columns were dropped, or replaced by a hash under the agency's key."
    )
    measured = sorted({entry.statement for _, entry in entries if entry.statement})
    if measured:
        text += (
            " k, l and t are of each agency's own release; NCP is the share of information lost by generalizing, the "
            "prosecutor's risk 1 / k. Nothing stands where a count is below the small-cell limit."
        )
    return section(
        "Privacy",
        *map(paragraph, (text, *measured)),
        table(("agency", "identifiers", *(fields[field] for field in shown)), rows),
    )


def _identifiers(entry: AgencyPrivacy) -> str:
    words = {"drop": "dropped", "hash": "hashed"}
    return ", ".join(f"{column} {words[fate]}" for column, fate in sorted(entry.identifiers.items())) or "none"


def resources(report: Report) -> Markup:
    """Return time by stage and memory."""
    total, peak = report.seconds.total, report.resources.peak_pss_bytes
    text = " ".join(
        (
            f"From the start to this report: {number(total)} s." if total is not None else "Wall time is not known.",
            f"Peak memory of all processes together: {peak / 2**30:.2f} GiB (sum of PSS, sampled)."
            if peak is not None
            else "Memory was not measured: only the embedded mode does.",
        )
    )
    stages = sorted(report.seconds.by_stage.items(), key=lambda item: -item[1])
    title = "Seconds by stage, summed over agencies and rounds"
    return section("Time and memory", paragraph(text), grouped_bars(title, ("seconds",), [(s, [t]) for s, t in stages]))


def model(report: Report) -> Markup:
    """Return version and hashes of the model."""
    version = "none, it was not promoted" if report.model.version is None else str(report.model.version)
    rows = [
        ("version in the registry", version),
        ("SHA-256 of the final model", tag("code", report.model.sha256 or "there is none")),
        ("SHA-256 of the model that the run started from", tag("code", report.model.parent or "there is none")),
        ("lineage beside this file", tag("code", report.lineage or "kept by the server, not here")),
    ]
    return section("Model", table(("", ""), rows))
