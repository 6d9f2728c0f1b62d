"""anonymize: rid an agency's rows of direct identifiers, and its flow table of small counts.

Leaves deidentified.parquet, deidentified.json and, where there is one, flow_table.parquet at the agency.
"""

from __future__ import annotations

import logging
from pathlib import Path

from fl_tasks.contracts.base import sha256_file, write_atomic
from fl_tasks.contracts.config import load_series_source
from fl_tasks.contracts.data import (
    Deidentified,
    deidentified_path,
    deidentified_record_path,
    flow_table_path,
    prepared_path,
    raw_path,
)
from fl_tasks.contracts.errors import ConfigError, DataRejected, InputError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.data.flow_table import ProtectedFlowTable, protect, read_flow_table, write_flow_table
from fl_tasks.data.pseudonymize import agency_secret, looks_like, pseudonyms, run_key
from fl_tasks.data.series import Series, read_series, write_series
from fl_tasks.data.small_cells import publishable
from fl_tasks.stages.lineage import as_input, facts_of, of_run, own
from fl_tasks.stages.reuse import Reads, digests
from fl_tasks.stages.series import lineage

log = logging.getLogger(__name__)


def pseudonym_secret_path(folder: Path) -> Path:
    """Where an agency's secret lies from which the keys of its pseudonyms are derived."""
    return folder / "keys" / "pseudonym.key"


def run(spec: StageSpec) -> StageResult:
    """Drop or hash the declared identifiers, refuse what looks like one all the same, protect the flow table.

    A flow table that is declared but was not delivered is no error: `suppressed` is null then. Once the run's examples
    are frozen (prepared.json), nothing is made anew: a table that has changed, or a secret that was lost, must not
    change what the run has told.

    Raises:
        ConfigError: If the agency has not joined the scenario, a YAML is wrong, or the secret cannot be used.
        MissingInput: If ingest has not run.
        DataRejected: If a series' name or an undeclared text looks like an identifier; its column is named, it is not.
        InputError: If the flow table is malformed, or the files of a frozen run are not what this stage left.
    """
    if spec.agency is None:
        raise ConfigError("stage anonymize: field agency: an agency is needed; set it in the spec")
    source = load_series_source(spec.federation, spec.agency, spec.scenario)
    record = _frozen(spec.folder) or _anonymize(spec, spec.agency, source)
    told = {"cells": record.cells, "suppressed": record.suppressed, "complementary": record.complementary}
    counts = publishable({name: count for name, count in told.items() if count is not None})
    log.info(
        "stage=anonymize agency=%s identifiers=%d suppressed=%s",
        *(spec.agency, len(record.identifiers), counts.get("suppressed")),
    )
    inputs = [of_run(spec, raw_path(spec.folder).name, as_input(lineage.raw(source, record.identifiers)))]
    outputs = [of_run(spec, deidentified_path(spec.folder).name, facts_of(lineage.deidentified(record.identifiers)))]
    if source.flow_table is not None and record.suppressed is not None:
        flows = source.flow_table
        inputs.append(own(spec, flows.path, facts_of(lineage.delivered_flows(flows), source=source)))
        protected = facts_of(lineage.protected_flows(flows, of=1))
        outputs.append(of_run(spec, flow_table_path(spec.folder).name, protected))
    return StageResult(
        stage="anonymize",
        status="done",
        counts=counts,
        digests={"deidentified": record.sha256},
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )


def reads(spec: StageSpec) -> Reads | None:
    """Return what the rows that are left follow from; None where a column is hashed: a run has its own pseudonyms."""
    source = load_series_source(spec.federation, spec.agency, spec.scenario)
    if "hash" in source.identifiers.values():
        return None
    inputs = digests([raw_path(spec.folder)])
    if source.flow_table is not None:
        flows = spec.places.agency(str(spec.agency)) / source.flow_table.path
        inputs["flow_table"] = sha256_file(flows) if flows.exists() else None
    made = (flow_table_path, deidentified_path, deidentified_record_path)
    return Reads(inputs, tuple(path(spec.folder) for path in made))


def _frozen(folder: Path) -> Deidentified | None:
    """Return the record of a run whose examples are frozen, checked against its file; None before that."""
    if not prepared_path(folder).exists():
        return None
    path = deidentified_path(folder)
    try:
        record = Deidentified.model_validate_json(deidentified_record_path(folder).read_bytes())
        if sha256_file(path) == record.sha256:
            return record
    except FileNotFoundError:
        pass
    raise InputError(f"{path.name}: missing, or not the file that anonymize left in this run; start a new run")


def _anonymize(spec: StageSpec, agency: str, source: SourceConfig) -> Deidentified:
    home = spec.places.agency(agency)
    raw = read_series(raw_path(spec.folder))
    _refuse_identifiers(raw, source, agency)
    there = {column: source.identifiers[column] for column in raw.identifiers if column in source.identifiers}
    kept = {column: texts for column, texts in raw.identifiers.items() if there.get(column) != "drop"}
    if "hash" in there.values():
        key = run_key(agency_secret(pseudonym_secret_path(home)), spec.scenario, spec.run_id)
        kept |= {
            column: pseudonyms(kept[column], key, source.identifier_kinds.get(column))
            for column, how in there.items()
            if how == "hash"
        }
    flows = _protect_flows(home, source, agency)
    if flows is None:
        flow_table_path(spec.folder).unlink(missing_ok=True)
    else:
        write_flow_table(flow_table_path(spec.folder), flows.table)
    path = deidentified_path(spec.folder)
    write_series(path, Series(raw.times, raw.names, raw.values, kept))
    record = Deidentified(
        identifiers=there,
        suppressed=None if flows is None else flows.suppressed,
        complementary=None if flows is None else flows.complementary,
        exposed=None if flows is None else flows.exposed,
        cells=None if flows is None else flows.cells,
        sha256=sha256_file(path),
    )
    # Last: whoever finds the record finds the rows.
    write_atomic(deidentified_record_path(spec.folder), record.model_dump_json(indent=1).encode())
    return record


def _refuse_identifiers(raw: Series, source: SourceConfig, agency: str) -> None:
    for place, name in enumerate(raw.names, start=1):
        kind = looks_like([name])
        if kind is not None:
            raise DataRejected(
                f"agency {agency}: series {place} of {len(raw.names)}: its name looks like {kind}; "
                "give it another name (values in the agency's YAML), or declare its column under identifiers"
            )
    for column, texts in raw.identifiers.items():
        kind = None if column in source.identifiers else looks_like(texts)
        if kind is not None:
            raise DataRejected(
                f"agency {agency}: column {column!r}: a text looks like {kind}; "
                "declare the column under identifiers, to be dropped or hashed"
            )


def _protect_flows(home: Path, source: SourceConfig, agency: str) -> ProtectedFlowTable | None:
    """Read and protect the flow table; None if none is declared or delivered."""
    config = source.flow_table
    if config is None or not (home / config.path).exists():
        return None
    name = f"agency {agency}: {config.path}"
    table = read_flow_table(home / config.path, config, name=name)
    for column, labels in zip(table.columns, table.labels, strict=False):  # counts have no labels
        kind = looks_like(map(str, labels.to_pylist()))
        if kind is not None:
            raise DataRejected(f"{name}: column {column!r}: a text looks like {kind}; name times and places by others")
    return protect(table, config.limit)
