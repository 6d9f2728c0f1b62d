"""The report's section on the survey: whose sums decided on one recoding and scale for all."""

from __future__ import annotations

from fl_tasks.contracts.report import Report
from fl_tasks.report.markup import NOTHING, Markup, paragraph, section, table


def survey(report: Report) -> Markup:
    """Return how the survey ended, over whom, and the levels that it chose."""
    found = report.survey
    if found is None:
        return NOTHING
    sentences = [f"The survey is {found.status}{': ' + found.reason if found.reason else ''}."]
    if found.survivors:
        sentences.append(
            f"Masked numbers of {len(found.survivors)} agencies ({', '.join(found.survivors)}) were added; only the "
            f"sums, {found.words:,} words each, were opened."
        )
    if found.levels:
        levels = ", ".join(f"{column} {level}" for column, level in found.levels.items())
        why = "the champion's, which hold at every agency" if found.kept else "of least loss that hold at every agency"
        sentences.append(f"Levels for all agencies, {why}: {levels}.")
    sentences += [f"Noted at {note}." for note in found.notes]
    fates = {**found.excluded, **{agency: f"lost at {step}" for agency, step in found.lost.items()}}
    return section(
        "Survey", *map(paragraph, sentences), table(("agency", "left out, or lost at"), sorted(fates.items()))
    )
