"""What an officer reads before deciding: the plan, its code beside what was approved last, mock data, the digest."""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from fl_tasks.contracts.plan import Plan
from fl_tasks.officer.desk import Desk
from fl_tasks.officer.difference import (
    Approved,
    changes,
    counts,
    difference,
    file_list,
    last_approved,
    visible,
    write_text,
)
from fl_tasks.officer.ledger import read_ledger
from fl_tasks.officer.overview import standing_of

_MOST_LINES = 200  # of a difference on the screen
_MOCK_ROWS = 5
_MOCK_CHARACTERS = 160


def show(desk: Desk, run_id: str, now: dt.datetime) -> Iterator[str]:
    """Return the lines that tell of a run's plan; the last but one names the digest that approving needs.

    Raises:
        DeliveryMissing: If no such plan is laid out.
        DeliveryAltered: If plan or code are not the coordinator's.
    """
    delivery = desk.delivery(run_id)
    plan = delivery.plan
    ledger = read_ledger(desk)
    job = desk.datasite.states().get(run_id)
    before = last_approved(desk, ledger, plan)
    yield f"PLAN of run {run_id}, signed by the coordinator, for {desk.agency}"
    yield f"  stands: {standing_of(ledger, run_id, None if job is None else job.state, now)}"
    yield from _terms(plan, before)
    yield ""
    yield from _code(desk, plan, delivery.files, before)
    yield ""
    yield from _mock(desk, plan.terms.scenario)
    yield ""
    yield from _opens(plan)
    yield ""
    yield f"DIGEST {plan.sha256}"
    yield f"  fl officer approve {run_id} --digest {plan.sha256}"


def _terms(plan: Plan, before: Approved | None) -> Iterator[str]:
    terms = plan.terms
    yield f"  scenario {terms.scenario}, configuration {terms.config_sha256}"
    yield f"  roster {terms.roster_sha256}"
    yield f"  code {terms.code_sha256}"
    if before is None or before.plan.terms.scenario != terms.scenario:
        return
    old, new = before.plan.terms.model_dump(mode="json"), terms.model_dump(mode="json")
    changed = [name for name in new if new[name] != old.get(name)]
    yield f"  terms that differ from those approved for run {before.plan.run_id}: {', '.join(changed) or 'none'}"
    for name in changed:
        yield visible(f"    {name}: {old.get(name)} -> {new[name]}")


def _code(desk: Desk, plan: Plan, files: Mapping[str, bytes], before: Approved | None) -> Iterator[str]:
    texts = desk.folder / "texts"
    if before is None:
        yield "CODE: nothing was approved before that it could be compared with"
        yield from (f"  {line}" for line in counts(files))
        yield f"  all files: {write_text(texts, f'{plan.run_id}.files', file_list(files))}"
        return
    lines = difference(before.files, files)
    yield f"CODE beside that of run {before.plan.run_id}, approved last: {changes(before.files, files)}"
    if len(lines) > _MOST_LINES:
        yield f"  {len(lines)} lines differ: {write_text(texts, f'{plan.run_id}.diff', lines)}"
    else:
        yield from lines


def _mock(desk: Desk, scenario: str) -> Iterator[str]:
    files = desk.datasite.mock(scenario)
    if files is None:
        yield f"MOCK DATA: none; `fl officer register --scenario {scenario}` makes them"
        return
    yield f"MOCK DATA of {scenario}, made up, in the form of the agency's own"
    for path in files:
        yield f"  {path.name}"
        yield from (f"    {row}" for row in _first_rows(path))


def _first_rows(path: Path) -> Iterator[str]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in itertools.islice(file, _MOCK_ROWS):
            text = visible(_text(line).rstrip("\r\n"))
            yield text if len(text) <= _MOCK_CHARACTERS else f"{text[:_MOCK_CHARACTERS]} ..."


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("gb18030", errors="replace")


def _opens(plan: Plan) -> Iterator[str]:
    terms = plan.terms
    start, end = (moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M") for moment in plan.data_interval)
    yield "AN APPROVAL OPENS, for this run alone"
    yield visible(f"  source {terms.source}")
    yield f"  rows of {terms.lookback_months} months before {end} UTC; the run's interval begins {start} UTC"
    for role in sorted(set(terms.columns.values())):
        names = sorted(name for name, of in terms.columns.items() if of == role)
        yield visible(f"  columns as {role}: {', '.join(names)}")
    yield f"  training of the model {terms.model}, {terms.rounds} rounds at most, updates clipped to {terms.clip:g}"
    told = ", ".join(f"{name} = {value:g}" for name, value in sorted(terms.privacy.items()))
    yield visible(f"  privacy: {told or 'no parameters beside the masking of updates'}")
