"""What is wrong with an agency's data, or with a federation folder, before any run. Behind `fl validate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from fl_tasks.contracts.base import Contract
from fl_tasks.contracts.config import AgencyConfig, ScenarioConfig, load_agency, load_scenario
from fl_tasks.contracts.errors import ConfigError, FLError
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.contracts.units import conversion
from fl_tasks.data.ingest import read_source
from fl_tasks.data.series import Series
from fl_tasks.data.standardize import off_grid, out_of_range
from fl_tasks.data.table import Collected
from fl_tasks.data.tables.declaration import PLACE, declare
from fl_tasks.data.tables.harmonize import Harmonizer
from fl_tasks.data.tables.read import read_pieces
from fl_tasks.scenarios import load
from fl_tasks.secagg.parameters import checked_threshold, largest_weight
from fl_tasks.stages.suites import load_suite
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, load_domains

MOST_PROBLEMS = 20
C = TypeVar("C", bound=Contract)


@dataclass(frozen=True)
class Inspection:
    """What a check found.

    Attributes:
        problems: In order, none if all is well; no data value stands in them.
        summary: What was checked, if all is well; for the owner of the data alone.
    """

    problems: tuple[str, ...]
    summary: tuple[str, ...] = ()


def inspect_source(federation: Path, folder: Path, scenario: str, agency: str, path: Path | None) -> Inspection:
    """Read the whole of an agency's data, whatever the time, as its declaration says.

    Args:
        federation: The folder with agencies/.
        folder: The agency's folder.
        scenario: Whose data they are.
        agency: Whose declaration it is.
        path: A file, or a folder of files, in place of the declared one; None for the declared source.

    Returns:
        The first problems, or rows, first and last time, and series.

    Raises:
        ConfigError: If the agency's YAML is wrong, or it has not joined the scenario.
    """
    source = load_agency(federation, agency).scenarios.get(scenario)
    if source is None:
        raise ConfigError(
            f"{federation / 'agencies' / f'{agency}.yaml'}: field scenarios: {scenario!r} is not there; "
            "declare the data there first"
        )
    name = source.where
    if path is not None:
        folder, name = path.absolute().parent, str(path)
        source = source.model_copy(update={"path": path.name, "sql": None})
    if isinstance(source, TableSource):
        return inspect_table(federation, scenario, source, folder, name)
    zone = None if source.time.timezone is None else load_scenario(federation, scenario).schedule.timezone
    return _read_all(source, folder, name, zone)


def inspect_table(federation: Path, scenario: str, source: TableSource, folder: Path, name: str) -> Inspection:
    """Read the whole of an agency's table, whatever the days, and say which rows a run would reject and why.

    Args:
        federation: The folder with scenarios/ and hierarchies/.
        scenario: Whose schema the rows have to fit.
        source: The agency's declaration.
        folder: The folder that its path is relative to.
        name: How messages call the source.

    Returns:
        The first problem, or the reasons where more rows would be rejected than the scenario lets; else a summary.

    Raises:
        ConfigError: If the scenario's YAML or a hierarchy is wrong.
    """
    config = load_scenario(federation, scenario).table
    domains = load_domains(hierarchies_folder(federation, scenario), config)
    first: dict[str, str] = {}
    kept = 0
    try:
        harmonizer = Harmonizer(declare(config, source), domains, None)
        for piece in read_pieces(source, folder, name, harmonizer.wanted):
            part = harmonizer.take(piece)
            kept += len(part.table)
            for reason, place in zip(part.reasons, part.rejected.columns[PLACE], strict=True):
                first.setdefault(reason, place)
    except FLError as error:
        return Inspection((str(error),))
    rejected = sum(harmonizer.by_reason.values())
    why = tuple(
        f"rejected: {reason}: {harmonizer.by_reason[reason]} rows, the first at {first[reason]}" for reason in first
    )
    limit = config.quality.max_quarantined
    if rejected > limit * harmonizer.rows_in:
        return Inspection((f"{name}: more than {limit:.0%} of the rows would be rejected", *why))
    merged = harmonizer.rows_in - rejected - kept
    identifiers = ", ".join(f"{column} ({fate})" for column, fate in harmonizer.identifiers.items())
    return Inspection(
        (),
        (
            f"rows: {kept} of {harmonizer.rows_in}, {merged} delivered twice, {rejected} rejected",
            *why,
            f"values present: {harmonizer.present:.1%} of those that the model sees",
            f"identifiers: {identifiers or 'none'}",
        ),
    )


def _read_all(source: SourceConfig, folder: Path, name: str, zone: str | None) -> Inspection:
    problems = Collected(MOST_PROBLEMS)
    try:
        rows = read_source(source, folder, None, name=name, problems=problems, zone=zone)
    except FLError as error:
        return Inspection((*map(str, problems.found), str(error)))
    series = rows.series
    found = (*map(str, problems.found), *_misdeclared(series, source, name))
    if found:
        return Inspection(found)
    first, last = (moment.item().isoformat(" ") for moment in (series.times.min(), series.times.max()))
    moved = f", after a shift of {source.replay_shift_weeks} weeks" if source.replay_shift_weeks else ""
    summary = [
        f"files: {', '.join(rows.files)}",
        f"rows: {len(series.times)}, from {first} to {last} local wall time{moved}",
        f"series: {len(series.names)}, in {source.source_unit}: {', '.join(series.names)}",
    ]
    if series.identifiers:
        columns = (f"{column} ({source.identifiers[column]})" for column in series.identifiers)
        summary.append(f"identifiers: {', '.join(columns)}")
    if rows.corrected:
        summary.append("corrections: a later file replaces values of an earlier one")
    return Inspection((), tuple(summary))


def _misdeclared(series: Series, source: SourceConfig, name: str) -> list[str]:
    """Return what in the declaration cannot be right, since most of the data contradict it."""
    found = []
    if 2 * np.count_nonzero(off_grid(series.times, source)) > len(series.times):
        found.append(f"{name}: most times are not on steps of {source.step_minutes} min; correct step_minutes")
    values = series.values[~np.isnan(series.values)] * conversion(source.source_unit, source.unit)
    if 2 * np.count_nonzero(out_of_range(values, source)) > len(values):
        found.append(
            f"{name}: most values lie outside [{source.minimum:g}, {source.maximum:g}] {source.unit}; "
            f"correct source_unit ({source.source_unit}), minimum or maximum"
        )
    if not len(values) and len(series.times):
        found.append(f"{name}: no row has a value; check which columns are delivered")
    return found


def inspect_federation(folder: Path) -> Inspection:
    """Check a federation folder: every YAML for itself, and what has to fit between them.

    Args:
        folder: With scenarios/ and agencies/.
    """
    problems = [
        f"{folder}: there is no folder {kind}/; a federation folder has scenarios/ and agencies/"
        for kind in ("scenarios", "agencies")
        if not (folder / kind).is_dir()
    ]
    written = {path.stem for path in (folder / "scenarios").glob("*.yaml")}
    scenarios = _load_each(folder / "scenarios", lambda name: load_scenario(folder, name), problems)
    agencies = _load_each(folder / "agencies", lambda name: load_agency(folder, name), problems)
    for name, agency in agencies.items():
        problems.extend(
            f"{folder / 'agencies' / f'{name}.yaml'}: field scenarios: {scenario!r} is unknown; "
            f"known are {', '.join(sorted(written)) or 'none'}"
            for scenario in agency.scenarios
            if scenario not in written
        )
    # Who has joined is known only once every agency's YAML is right.
    known = len(agencies) == len(list((folder / "agencies").glob("*.yaml")))
    summary = []
    for name, scenario in scenarios.items():
        path = folder / "scenarios" / f"{name}.yaml"
        members = [agency for agency, config in sorted(agencies.items()) if name in config.scenarios]
        summary.append(f"{name}: {len(members)} agencies ({', '.join(members)})")
        problems.extend(_failures(path, partial(load, name), partial(load_suite, name)))
        if isinstance(scenario.data, TableConfig):
            problems.extend(_failures(path, partial(load_domains, hierarchies_folder(folder, name), scenario.data)))
        if known:
            problems.extend(_failures(path, partial(checked_threshold, len(members), scenario.secagg)))
        problems.extend(_misfits(path, scenario, [agencies[member] for member in members]))
    if not scenarios and not problems:
        problems.append(f"{folder / 'scenarios'}: there is no scenario; add a YAML")
    return Inspection(tuple(problems)) if problems else Inspection((), tuple(summary))


def _load_each(folder: Path, call: Callable[[str], C], problems: list[str]) -> dict[str, C]:
    """Return name -> contract of every YAML of a folder that is right."""
    loaded: dict[str, C] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            loaded[path.stem] = call(path.stem)
        except FLError as error:
            problems.append(str(error))
    return loaded


def _failures(path: Path, *calls: Callable[[], object]) -> list[str]:
    """Return how the calls fail, if they do, each with the file that is to blame."""
    failures = []
    for call in calls:
        try:
            call()
        except FLError as error:
            failures.append(f"{path}: {error}")
    return failures


def _misfits(path: Path, scenario: ScenarioConfig, members: Sequence[AgencyConfig]) -> list[str]:
    """Return which fields do not fit each other, each with the scenario's or the agency's file."""
    misfits = []
    cap = scenario.learning.weight_cap
    largest = largest_weight(max(len(members), 1), scenario.secagg)
    if cap is not None and cap > largest:
        misfits.append(
            f"{path}: field learning.weight_cap: {cap} is above {largest}, the largest weight that secagg.n_ref and "
            "secagg.w_max admit; lower it, or raise one of them"
        )
    for member in members:
        where = f"{path.parents[1] / 'agencies' / f'{member.agency}.yaml'}: field scenarios.{scenario.scenario}"
        source, data = member.scenarios[scenario.scenario], scenario.data
        if source.kind != data.kind:
            misfits.append(f"{where}.kind: got {source.kind}, the scenario's data are of kind {data.kind}")
        elif isinstance(source, TableSource) and isinstance(data, TableConfig):
            misfits.extend(_failures(Path(where), partial(declare, data, source)))
        elif (
            isinstance(source, SourceConfig)
            and isinstance(data, SeriesConfig)
            and data.step_minutes % source.step_minutes
        ):
            misfits.append(
                f"{where}.step_minutes: {source.step_minutes} does not divide the scenario's {data.step_minutes}; "
                "data cannot be put on its steps"
            )
    return misfits
