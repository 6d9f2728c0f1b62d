"""ingest: read an agency's table and bring it to the schema. Leaves raw.parquet, rejected.parquet and ingested.json."""

from __future__ import annotations

import logging
from pathlib import Path

from fl_tasks.contracts.base import sha256_file, write_atomic
from fl_tasks.contracts.config import load_scenario, load_table_source
from fl_tasks.contracts.data import Harmonized, Ingested, ingested_path, prepared_path, raw_path, rejected_path
from fl_tasks.contracts.errors import ConfigError, MissingInput
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.data.ingest import reading_span
from fl_tasks.data.small_cells import publishable
from fl_tasks.data.tables.declaration import Declared, declare
from fl_tasks.data.tables.harmonize import Days
from fl_tasks.data.tables.ingest import check_balance, ingest, replay_note, require_rows
from fl_tasks.stages.lineage import facts_of, of_run, own
from fl_tasks.stages.reuse import Reads, source_digests
from fl_tasks.stages.tables import lineage
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, hierarchy_digests, load_domains

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Read the agency's source, harmonize its rows, and check that they are enough, new and complete enough.

    Rows that do not fit the schema go to rejected.parquet with a reason each. Once the run's examples are frozen
    (prepared.json), the source is not read again: one that has grown in the meantime must not change what a running
    session learns from.

    Raises:
        ConfigError: If the agency has not joined the scenario, a YAML or a hierarchy is wrong.
        InputError: If the source is missing, empty or malformed, or holds no row of the span.
        DataRejected: If the rows as such are beyond a limit of the scenario's quality checks.
    """
    declared = declared_of(spec)
    source = declared.source
    ingested = read_ingested(spec) if prepared_path(spec.folder).exists() else _read(spec, declared)
    found = table_of(ingested)
    rows = found.rows
    counts = counts_of(rejected=rows.quarantined, merged=rows.merged, rows_out=rows.rows_out)
    log.info("stage=ingest agency=%s rows_in=%s", spec.agency, counts.get("rows_in"))
    raw, rejected = raw_path(spec.folder), rejected_path(spec.folder)
    return StageResult(
        stage="ingest",
        status="done",
        reason="; ".join(ingested.notes)[:500],
        counts=counts,
        digests={"raw": sha256_file(raw)},
        inputs=(own(spec, source.where, facts_of(lineage.delivered(declared), source=source)),),
        outputs=(
            of_run(spec, raw.name, facts_of(lineage.raw(declared, found.identifiers))),
            of_run(spec, rejected.name, facts_of(lineage.rejected(declared, found.identifiers))),
        ),
    )


def reads(spec: StageSpec) -> Reads | None:
    """Return what the rows follow from; None of a database. A run that scores reads other columns."""
    declared = declared_of(spec)
    files = source_digests(declared.source, spec.places.agency(str(spec.agency)))
    if files is None:
        return None
    hierarchies = hierarchy_digests(hierarchies_folder(spec.federation, spec.scenario), declared.config)
    span = [day.isoformat() for day in span_of(spec)]

    def no_row_lost(folder: Path) -> None:
        ingested = Ingested.model_validate_json(ingested_path(folder).read_bytes())
        check_balance(table_of(ingested).rows, declared.source.where)

    return Reads(
        {"files": files, "span": list(span), "scoring": declared.scoring, "hierarchies": hierarchies},
        tuple(path(spec.folder) for path in (raw_path, rejected_path, ingested_path)),
        no_row_lost,
    )


def counts_of(**parts: int) -> dict[str, int]:
    """Return the rows that came in and what became of them; nothing at all if one part is a small cell.

    Later stages tell the rows that are left: beside the rows that came in, those would tell the small part.
    """
    return {"rows_in": sum(parts.values()), **parts} if publishable(parts) == parts else {}


def declared_of(spec: StageSpec) -> Declared:
    """Return the scenario's schema and the agency's source, checked against each other; raises ConfigError."""
    config = load_scenario(spec.federation, spec.scenario).table
    source = load_table_source(spec.federation, spec.agency, spec.scenario)
    try:
        return declare(config, source, scoring=not spec.retrains)
    except ConfigError as error:
        raise ConfigError(f"agencies/{spec.agency}.yaml: scenarios.{spec.scenario}: {error}") from error


def read_ingested(spec: StageSpec) -> Ingested:
    """Read what ingest left on its rows; raises MissingInput."""
    try:
        return Ingested.model_validate_json(ingested_path(spec.folder).read_bytes())
    except FileNotFoundError:
        raise MissingInput("ingested.json of this run is not there yet; run ingest first") from None


def table_of(ingested: Ingested) -> Harmonized:
    """Return the counts of a table's rows; raises ConfigError if the record is of series."""
    if ingested.table is None:
        raise ConfigError("ingested.json is of series; the scenario's kind was changed during the run: start a new one")
    return ingested.table


def span_of(spec: StageSpec) -> Days:
    """Return the first day that a run reads and the day after the last one, local."""
    schedule = load_scenario(spec.federation, spec.scenario).schedule
    first, end = reading_span(schedule, spec.data_interval)
    return first.date(), end.date()


def _read(spec: StageSpec, declared: Declared) -> Ingested:
    source: TableSource = declared.source
    name = f"agency {spec.agency}: {source.where}"
    span = span_of(spec)
    folder = hierarchies_folder(spec.federation, spec.scenario)
    found = ingest(
        declared,
        load_domains(folder, declared.config),
        spec.places.agency(str(spec.agency)),
        name,
        span=span,
        raw=raw_path(spec.folder),
        rejected=rejected_path(spec.folder),
    )
    ingested = Ingested(
        files=(source.where,),
        rows_read=found.rows.rows_in,
        corrected=0,
        months={},
        notes=replay_note(source, span),
        table=found,
    )
    # Before the refusal: whoever is refused finds the counts beside the rejected rows.
    write_atomic(ingested_path(spec.folder), ingested.model_dump_json(indent=1).encode())
    if not declared.scoring:
        require_rows(found, declared.config, span, name)
    return ingested
