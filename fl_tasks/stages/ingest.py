"""ingest: take the rows of the run's span out of the agency's own file. Leaves raw.parquet at the agency."""

from __future__ import annotations

import logging

from fl_tasks.contracts.base import sha256_file
from fl_tasks.contracts.config import load_agency, load_scenario
from fl_tasks.contracts.data import prepared_path, raw_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.stage import DatasetRef, StageResult, StageSpec
from fl_tasks.data.ingest import read_span, reading_span
from fl_tasks.data.series import read_series, write_series
from fl_tasks.data.small_cells import publishable

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Read the agency's CSV; rows in [interval end - lookback, interval end) local wall time are kept.

    Once the run's examples are frozen (prepared.json), the source is not read again: a source that has grown in
    the meantime must not change what a running session learns from.

    Raises:
        ConfigError: If the agency has not joined the scenario, or a YAML is wrong.
        InputError: If the file is missing, empty or malformed, or holds no row of the span.
    """
    if spec.agency is None:
        raise ConfigError("stage ingest: field agency: an agency is needed; set it in the spec")
    source = load_agency(spec.federation, spec.agency).scenarios.get(spec.scenario)
    if source is None:
        raise ConfigError(
            f"agency {spec.agency}: field scenarios: {spec.scenario!r} is not there; "
            "add it to the agency's YAML, or leave the agency out of this run"
        )
    path = raw_path(spec.folder)
    if prepared_path(spec.folder).exists():
        raw = read_series(path)
    else:
        schedule = load_scenario(spec.federation, spec.scenario).schedule
        raw = read_span(
            spec.places.agency(spec.agency) / source.path,
            reading_span(schedule, spec.data_interval),
            name=f"agency {spec.agency}: {source.path}",
        )
        write_series(path, raw)
    counts = publishable({"rows": len(raw.times), "series": len(raw.names)})
    log.info("stage=ingest agency=%s rows=%s series=%s", spec.agency, counts.get("rows"), counts.get("series"))
    namespace = f"agency:{spec.agency}"
    return StageResult(
        stage="ingest",
        status="done",
        counts=counts,
        digests={"raw": sha256_file(path)},
        inputs=(DatasetRef(namespace=namespace, name=source.path),),
        outputs=(DatasetRef(namespace=namespace, name=f"runs/{spec.run_id}/{path.name}"),),
    )
