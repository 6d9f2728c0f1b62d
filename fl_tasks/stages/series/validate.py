"""validate: judge the standardized data, then freeze the examples that the run learns from and is judged on."""

from __future__ import annotations

import logging

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import load_scenario, load_series_source
from fl_tasks.contracts.data import (
    Accepted,
    Ingested,
    Standardized,
    accepted_path,
    compared_path,
    data_docs_path,
    deidentified_path,
    ingested_path,
    quality_path,
    standardized_path,
    standardized_record_path,
)
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.data import drift
from fl_tasks.data.accepted import load_accepted, save_accepted
from fl_tasks.data.examples import freeze, part_examples
from fl_tasks.data.ingest import local_interval
from fl_tasks.data.quality import columns, harvest, history, judge, observations, require, told
from fl_tasks.data.series import read_series
from fl_tasks.data.small_cells import publishable
from fl_tasks.data.windows import Windows
from fl_tasks.stages.context import folder_of
from fl_tasks.stages.lineage import as_input, checks_of, facts_of, of_run
from fl_tasks.stages.series import lineage
from fl_tasks.stages.suites import load_suite

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Run the scenario's expectation suites.

    Leaves quality.json and the Data Docs in any case; examples and prepared.json if the data pass, and then remembers
    the month for the next run's comparison, unless a later one is remembered or this is a dry run.

    Raises:
        MissingInput: If standardize has not run.
        ConfigError: If the scenario has no suite, or the agency has not joined it.
        DataRejected: If a critical check failed; the message names the checks, never a value.
    """
    scenario = load_scenario(spec.federation, spec.scenario)
    source = load_series_source(spec.federation, spec.agency, spec.scenario)
    suite = load_suite(spec.scenario)
    grid = read_series(standardized_path(spec.folder))
    rows = Standardized.model_validate_json(standardized_record_path(spec.folder).read_bytes()).rows
    windows = Windows(grid, scenario.series, hold_validation=scenario.rounds.early_stop is not None)
    interval = local_interval(scenario.schedule, spec.data_interval)
    values = drift.month_values(grid, interval)
    frames = {
        "observations": observations(grid),
        "columns": columns(read_series(deidentified_path(spec.folder))),
        "harvest": harvest(
            fit_windows=windows.count("fit"),
            held_back_windows=min(windows.count(part) for part in windows.parts[1:]),
            nonzero=windows.nonzero(),
            quarantined=rows.quarantined / rows.rows_in,
        ),
    }
    known = _compared_with(spec)
    if known is not None:
        frames["history"] = history(
            psi=drift.psi(known.reference[drift.VALUE], values),
            volume_ratio=drift.values_a_day(values, interval) / known.values_a_day,
        )
    suites = suite.suites(source, scenario.series, interval)
    report = judge(frames, suites, docs=data_docs_path(spec.folder))
    write_atomic(quality_path(spec.folder), report.model_dump_json(indent=1).encode())
    judged = of_run(
        spec,
        standardized_path(spec.folder).name,
        as_input(lineage.standardized(source, scenario.series), checks=checks_of(report, suites, "observations")),
    )
    require(report, told(frames["columns"]), (judged,))
    prepared = freeze(spec.folder, grid, windows, scenario.series, rows, unit=source.unit, population=source.population)
    if not spec.dry_run:
        accepted = Accepted(
            interval_end=spec.data_interval[1],
            months=Ingested.model_validate_json(ingested_path(spec.folder).read_bytes()).months,
            reference={drift.VALUE: drift.distribution(values)},
            values_a_day=drift.values_a_day(values, interval),
            previous=known,
        )
        save_accepted(accepted_path(folder_of(spec), spec.scenario), accepted)
    warnings = ", ".join(check.name for check in report.failed("warning"))
    counts = publishable(
        {"series": prepared.series} | {f"{part}_windows": windows.count(part) for part in windows.parts}
    )
    log.info(
        "stage=validate agency=%s checks=%d warnings=%d sha256=%s",
        spec.agency,
        len(report.checks),
        len(report.failed("warning")),
        prepared.sha256,
    )
    return StageResult(
        stage="validate",
        status="done",
        reason=f"warning: {warnings}"[:500] if warnings else "",
        counts=counts,
        digests={"examples": prepared.sha256},
        inputs=(judged,),
        outputs=tuple(
            of_run(
                spec,
                part_examples(spec.folder, part).relative_to(spec.folder).as_posix(),
                facts_of(lineage.examples()),
            )
            for part in windows.parts
        ),
    )


def _compared_with(spec: StageSpec) -> Accepted | None:
    """Return the accepted month that this run is compared with, the same at every try."""
    path = compared_path(spec.folder)
    if not path.exists():
        known = load_accepted(accepted_path(folder_of(spec), spec.scenario))
        known = drift.comparable(known, spec.data_interval[0])
        write_atomic(path, b"null" if known is None else known.model_dump_json().encode())
    content = path.read_bytes()
    return None if content == b"null" else Accepted.model_validate_json(content)
