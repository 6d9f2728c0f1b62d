"""standardize: put the de-identified rows on the scenario's grid.

Leaves standardized.parquet, quarantine.parquet and the counts of both.
"""

from __future__ import annotations

import logging
from pathlib import Path

from fl_tasks.contracts.base import sha256_file, write_atomic
from fl_tasks.contracts.config import load_scenario, load_series_source
from fl_tasks.contracts.data import (
    Standardized,
    deidentified_path,
    quarantine_path,
    standardized_path,
    standardized_record_path,
)
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.data.series import read_series, write_series
from fl_tasks.data.small_cells import publishable_parts
from fl_tasks.data.standardize import check_rows, standardize
from fl_tasks.stages.lineage import as_input, facts_of, kept, of_run
from fl_tasks.stages.reuse import Reads, digests
from fl_tasks.stages.series import lineage

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Apply the rules of fl_tasks.data.standardize; rows in = rows out + quarantined + merged, or an error.

    Raises:
        MissingInput: If anonymize has not run.
        ConfigError: If the agency has not joined the scenario, or its step does not fit.
        DataRejected: If no row is left.
    """
    config = load_scenario(spec.federation, spec.scenario).series
    source = load_series_source(spec.federation, spec.agency, spec.scenario)
    rows_before = read_series(deidentified_path(spec.folder))
    outcome = standardize(rows_before, source, config)
    grid, quarantine = standardized_path(spec.folder), quarantine_path(spec.folder)
    write_series(quarantine, outcome.quarantine, reasons=outcome.reasons)
    write_series(grid, outcome.grid)
    # Last: whoever finds the counts finds the rows.
    write_atomic(standardized_record_path(spec.folder), outcome.record.model_dump_json(indent=1).encode())
    rows = outcome.record.rows
    counts = publishable_parts(
        {"rows_in": rows.rows_in},
        {"rows_out": rows.rows_out, "quarantined": rows.quarantined, "merged": rows.merged},
    )
    log.info("stage=standardize agency=%s rows_in=%s", spec.agency, counts.get("rows_in"))
    before = lineage.deidentified({name: source.identifiers.get(name, "") for name in rows_before.identifiers})
    return StageResult(
        stage="standardize",
        status="done",
        counts=counts,
        digests={"standardized": sha256_file(grid)},
        inputs=(of_run(spec, deidentified_path(spec.folder).name, as_input(before)),),
        outputs=(
            of_run(spec, grid.name, facts_of(lineage.standardized(source, config))),
            of_run(spec, quarantine.name, facts_of(kept(before))),
        ),
    )


def reads(spec: StageSpec) -> Reads:
    """Return what the grid follows from."""
    made = (quarantine_path, standardized_path, standardized_record_path)
    return Reads(digests([deidentified_path(spec.folder)]), tuple(path(spec.folder) for path in made), _no_row_lost)


def _no_row_lost(folder: Path) -> None:
    check_rows(Standardized.model_validate_json(standardized_record_path(folder).read_bytes()).rows)
