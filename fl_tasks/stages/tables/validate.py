"""validate: judge the released rows, then freeze the examples that the run learns from and is judged on."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.anonymize import PrivacyReport
from fl_tasks.contracts.base import sha256_file, write_atomic
from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.data import (
    Accepted,
    Deidentified,
    Harmonized,
    accepted_path,
    compared_path,
    data_docs_path,
    deidentified_path,
    features_path,
    privacy_path,
    quality_path,
    raw_path,
)
from fl_tasks.contracts.errors import MissingInput
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.data import drift
from fl_tasks.data.accepted import load_accepted, save_accepted
from fl_tasks.data.examples import part_examples
from fl_tasks.data.ingest import local_interval
from fl_tasks.data.quality import judge, require, told
from fl_tasks.data.small_cells import publishable
from fl_tasks.data.tables import quality
from fl_tasks.data.tables.declaration import SPLIT
from fl_tasks.data.tables.examples import freeze, parts
from fl_tasks.data.tables.features import codes_of, encode_target
from fl_tasks.data.tables.table import Table, read_table
from fl_tasks.data.windows import Part
from fl_tasks.stages.context import folder_of
from fl_tasks.stages.lineage import as_input, checks_of, facts_of, of_run
from fl_tasks.stages.suites import load_suite
from fl_tasks.stages.tables import lineage
from fl_tasks.stages.tables.anonymize import checked_record, deidentified_columns, row_counts
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, load_domains, load_hierarchies
from fl_tasks.stages.tables.ingest import declared_of, read_ingested, span_of, table_of
from fl_tasks.stages.tables.standardize import read_preparation

log = logging.getLogger(__name__)

Chosen = dict[Part, NDArray[np.bool_]]


def run(spec: StageSpec) -> StageResult:
    """Run the scenario's expectation suites.

    Leaves quality.json and the Data Docs in any case; examples and prepared.json if the rows pass, and then remembers
    their distribution for the next run's comparison, unless a later one is remembered or this is a dry run.

    Raises:
        MissingInput: If standardize has not run.
        ConfigError: If the scenario has no suite, or a hierarchy is wrong.
        InputError: If the files are not what the stages before left.
        DataRejected: If a critical check failed; the message names the checks, never a value.
    """
    scenario = load_scenario(spec.federation, spec.scenario)
    config = scenario.table
    record = checked_record(spec)
    assert record.rows is not None  # of a table it is always there
    table = read_table(deidentified_path(spec.folder))
    labels = _labels(spec, config)
    chosen = parts(table.columns[SPLIT], config.split, hold_validation=scenario.rounds.early_stop is not None)
    domains = {
        name: tuple(domain.values)
        for name, domain in load_domains(hierarchies_folder(spec.federation, spec.scenario), config).items()
    }
    raw = read_table(raw_path(spec.folder), config.columns)
    days = drift.values_a_day(np.empty(len(raw)), local_interval(scenario.schedule, spec.data_interval))
    frames = {
        "rows": quality.rows(table, config),
        "columns": quality.columns(table, labels),
        "harvest": _harvest(spec, table_of(read_ingested(spec)), chosen),
    }
    if config.privacy is not None:
        frames["privacy"] = quality.privacy(read_privacy(spec), sha256=sha256_file(deidentified_path(spec.folder)))
    known = _compared_with(spec, config.target.column)
    if known is not None:
        frames["drift"] = quality.moved(known, raw, config, domains)
        frames["volume"] = quality.volume(ratio=days / known.values_a_day)
    suites = load_suite(spec.scenario).suites(config, labels)
    report = judge(frames, suites, docs=data_docs_path(spec.folder))
    write_atomic(quality_path(spec.folder), report.model_dump_json(indent=1).encode())
    released = as_input(deidentified_columns(spec, declared_of(spec), record), checks=checks_of(report, suites, "rows"))
    judged = of_run(spec, deidentified_path(spec.folder).name, released)
    require(report, told(frames["columns"]), (judged,))
    prepared = _freeze(spec, scenario, table, labels, chosen, record)
    if not spec.dry_run:
        accepted = Accepted(
            interval_end=spec.data_interval[1],
            months={},
            reference=quality.distributions(raw, config, domains),
            values_a_day=days,
            previous=known,
        )
        save_accepted(accepted_path(folder_of(spec), spec.scenario), accepted)
    sizes = {f"{part}_rows": int(mask.sum()) for part, mask in chosen.items()}
    warnings = ", ".join(check.name for check in report.failed("warning"))
    log.info(
        "stage=validate agency=%s checks=%d warnings=%d sha256=%s",
        *(spec.agency, len(report.checks), len(report.failed("warning")), prepared),
    )
    return StageResult(
        stage="validate",
        status="done",
        reason=f"warning: {warnings}"[:500] if warnings else "",
        counts=publishable(sizes) if row_counts(record) else {},
        digests={"examples": prepared},
        inputs=(
            judged,
            of_run(spec, features_path(spec.folder).name, as_input(lineage.features(config))),
        ),
        outputs=tuple(
            of_run(
                spec,
                part_examples(spec.folder, part).relative_to(spec.folder).as_posix(),
                facts_of(lineage.examples(config, test=part == "test")),
            )
            for part in chosen
        ),
    )


def read_privacy(spec: StageSpec) -> PrivacyReport:
    """Return the report that anonymize left on its release; raises MissingInput."""
    try:
        return PrivacyReport.model_validate_json(privacy_path(spec.folder).read_bytes())
    except FileNotFoundError:
        raise MissingInput("privacy.json of this run is not there yet; run anonymize first") from None


def _labels(spec: StageSpec, config: TableConfig) -> dict[str, Sequence[str]]:
    """Return the texts that may stand in each categorical or generalized column of the released rows."""
    found: dict[str, Sequence[str]] = {config.target.column: config.classes}
    for column in config.of("sensitive", "feature"):
        if column.kind == "categorical":
            found[column.column] = column.values or ()
    if config.privacy is not None:
        levels = read_preparation(spec).levels
        folder = hierarchies_folder(spec.federation, spec.scenario)
        for name, hierarchy in load_hierarchies(folder, config).items():
            found[name] = hierarchy.levels[levels[name]].labels
    return found


def _harvest(spec: StageSpec, read: Harmonized, chosen: Chosen) -> Any:  # noqa: ANN401 - a data frame
    _, end = span_of(spec)
    return quality.harvest(
        fit_rows=int(chosen["fit"].sum()),
        held_back_rows=min(int(mask.sum()) for part, mask in chosen.items() if part != "fit"),
        quarantined=read.rows.quarantined / read.rows.rows_in,
        present=read.present,
        age_days=(end - read.newest) // dt.timedelta(days=1),
    )


def _freeze(
    spec: StageSpec,
    scenario: ScenarioConfig,
    table: Table,
    labels: dict[str, Sequence[str]],
    chosen: Chosen,
    record: Deidentified,
) -> str:
    """Freeze the examples and return their hash."""
    config, features = scenario.table, features_path(spec.folder)
    if not features.exists():
        raise MissingInput(f"{features.name} of this run is not there yet; run standardize first")
    groups, names = _groups(table, config, labels)
    assert record.rows is not None  # of a table it is always there
    prepared = freeze(
        spec.folder,
        np.load(features, mmap_mode="r", allow_pickle=False),
        encode_target(table, config),
        chosen,
        record.rows,
        groups=groups,
        names=names,
    )
    return prepared.sha256


def _groups(
    table: Table, config: TableConfig, labels: dict[str, Sequence[str]]
) -> tuple[NDArray[np.int16] | None, tuple[str, ...]]:
    """Return each row's protected group, -1 where it is missing, and the groups' texts."""
    if config.protected is None:
        return None, ()
    values, names = table.columns[config.protected], tuple(labels[config.protected])
    groups = np.full(len(values), -1, dtype=np.int16)
    there = np.asarray(values != "", dtype=bool)
    groups[there] = codes_of(values[there], names, config.protected)
    return groups, names


def _compared_with(spec: StageSpec, watched: str) -> Accepted | None:
    """Return the accepted run that this one is compared with, the same at every try."""
    path = compared_path(spec.folder)
    if not path.exists():
        known = load_accepted(accepted_path(folder_of(spec), spec.scenario))
        known = drift.comparable(known, spec.data_interval[0], watched=watched)
        write_atomic(path, b"null" if known is None else known.model_dump_json().encode())
    content = path.read_bytes()
    return None if content == b"null" else Accepted.model_validate_json(content)
