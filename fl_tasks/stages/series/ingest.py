"""ingest: take the rows of the run's span out of the agency's own source. Leaves raw.parquet and ingested.json."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import JsonValue

from fl_tasks.contracts.base import sha256_file, write_atomic
from fl_tasks.contracts.config import load_scenario, load_series_source
from fl_tasks.contracts.data import Ingested, accepted_path, ingested_path, prepared_path, raw_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.data.accepted import changed_months, load_accepted
from fl_tasks.data.ingest import read_source, reading_span, record
from fl_tasks.data.series import Series, read_series, write_series
from fl_tasks.data.small_cells import publishable
from fl_tasks.stages.lineage import facts_of, of_run, own
from fl_tasks.stages.reuse import Reads, source_digests
from fl_tasks.stages.series import lineage

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Read the agency's source; rows in [interval end - lookback, interval end) local wall time are kept.

    All of the span is read anew in every run, so that late and corrected data count; months that are others than
    in the last accepted run are named in the result's reason. Once the run's examples are frozen (prepared.json),
    the source is not read again: a source that has grown in the meantime must not change what a running session
    learns from.

    Raises:
        ConfigError: If the agency has not joined the scenario, or a YAML is wrong.
        InputError: If the source is missing, empty or malformed, or holds no row of the span.
    """
    if spec.agency is None:
        raise ConfigError("stage ingest: field agency: an agency is needed; set it in the spec")
    source = load_series_source(spec.federation, spec.agency, spec.scenario)
    path = raw_path(spec.folder)
    if prepared_path(spec.folder).exists():
        raw = read_series(path)
        ingested = Ingested.model_validate_json(ingested_path(spec.folder).read_bytes())
    else:
        raw, ingested = _read(spec, spec.agency, source)
    counts = publishable({"rows": len(raw.times), "series": len(raw.names)})
    log.info("stage=ingest agency=%s rows=%s series=%s", spec.agency, counts.get("rows"), counts.get("series"))
    return StageResult(
        stage="ingest",
        status="done",
        reason="; ".join(ingested.notes)[:500],
        counts=counts,
        digests={"raw": sha256_file(path)},
        inputs=(own(spec, source.where, facts_of(lineage.delivered(source), source=source)),),
        outputs=(of_run(spec, path.name, facts_of(lineage.raw(source, raw.identifiers))),),
    )


def reads(spec: StageSpec) -> Reads | None:
    """Return what the rows follow from; None of a database. The accepted run counts only by the months it makes new."""
    source = load_series_source(spec.federation, spec.agency, spec.scenario)
    folder = spec.places.agency(str(spec.agency))
    files = source_digests(source, folder)
    if files is None:
        return None
    span = reading_span(load_scenario(spec.federation, spec.scenario).schedule, spec.data_interval)
    known = load_accepted(accepted_path(folder, spec.scenario))

    def changed(place: Path) -> JsonValue:
        ingested = Ingested.model_validate_json(ingested_path(place).read_bytes())
        return list(changed_months(ingested.months, known))

    return Reads(
        {"files": files, "span": [moment.isoformat() for moment in span]},
        (raw_path(spec.folder), ingested_path(spec.folder)),
        changed,
    )


def _read(spec: StageSpec, agency: str, source: SourceConfig) -> tuple[Series, Ingested]:
    folder = spec.places.agency(agency)
    schedule = load_scenario(spec.federation, spec.scenario).schedule
    span = reading_span(schedule, spec.data_interval)
    rows = read_source(source, folder, span, name=f"agency {agency}: {source.where}", zone=schedule.timezone)
    ingested = record(rows, source, span, load_accepted(accepted_path(folder, spec.scenario)))
    write_series(raw_path(spec.folder), rows.series)
    write_atomic(ingested_path(spec.folder), ingested.model_dump_json(indent=1).encode())
    return rows.series, ingested
