"""anonymize: rid an agency's table of direct identifiers, and generalize the rest to what all agencies agreed on.

Leaves deidentified.parquet, deidentified.json, quarantine.parquet and, where there are quasi-identifiers, privacy.json.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from pydantic import JsonValue

from fl_tasks.contracts.anonymize import PrivacyReport
from fl_tasks.contracts.base import sha256_file, sha256_hex, write_atomic
from fl_tasks.contracts.data import (
    Deidentified,
    RowCounts,
    deidentified_path,
    deidentified_record_path,
    ingested_path,
    preparation_path,
    prepared_path,
    privacy_path,
    quarantine_path,
    raw_path,
    rejected_path,
)
from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.lineage import ColumnFact
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.data.pseudonymize import agency_secret, run_key
from fl_tasks.data.tables import reasons
from fl_tasks.data.tables.declaration import Declared
from fl_tasks.data.tables.deidentify import (
    as_rejected,
    rejected_without_identifiers,
    split_places,
    split_secret,
    with_places,
    without_identifiers,
)
from fl_tasks.data.tables.ingest import check_balance
from fl_tasks.data.tables.table import Table, joined, read_reasons, read_table, write_table
from fl_tasks.stages.lineage import as_input, facts_of, of_run
from fl_tasks.stages.reuse import Reads, digests
from fl_tasks.stages.series.anonymize import pseudonym_secret_path
from fl_tasks.stages.tables import lineage
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, hierarchy_digests, load_hierarchies
from fl_tasks.stages.tables.ingest import counts_of, declared_of, read_ingested, table_of
from fl_tasks.stages.tables.preparation import agreed
from fl_tasks.stages.tables.release import Released, generalized, release, require_policy

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Hash or drop identifiers, generalize to the agreed levels, suppress, measure.

    In a forecast run nothing is suppressed, so that every row gets its score, and nothing is measured: what is made
    there stays in the agency's folder. Once the run's examples are frozen (prepared.json), nothing is made anew.

    Raises:
        MissingInput: If ingest has not run, or the survey has not ended.
        ConfigError: If a YAML or hierarchy is wrong, or the secret cannot be used.
        DataRejected: If the policy cannot be reached at the agreed levels.
        InputError: If the files of a frozen run are not what this stage left.
    """
    declared = declared_of(spec)
    record = _frozen(spec) or _anonymize(spec, declared)
    counts = row_counts(record)
    log.info("stage=anonymize agency=%s identifiers=%d", spec.agency, len(record.identifiers))
    rejected = lineage.rejected(declared, record.identifiers)
    return StageResult(
        stage="anonymize",
        status="done",
        counts=counts,
        digests={"deidentified": record.sha256},
        inputs=(
            of_run(spec, raw_path(spec.folder).name, as_input(lineage.raw(declared, record.identifiers))),
            of_run(spec, rejected_path(spec.folder).name, as_input(rejected)),
        ),
        outputs=(
            of_run(spec, deidentified_path(spec.folder).name, facts_of(deidentified_columns(spec, declared, record))),
            of_run(spec, quarantine_path(spec.folder).name, facts_of(lineage.quarantined(rejected))),
        ),
    )


def deidentified_columns(spec: StageSpec, declared: Declared, record: Deidentified) -> list[ColumnFact]:
    """Return the columns of the rows that this stage left, and what became of each."""
    applied = preparation_path(spec.folder)
    levels = Preparation.model_validate_json(applied.read_bytes()).levels if applied.exists() else {}
    released = declared.config.privacy is not None and not declared.scoring
    return lineage.deidentified(declared, record.identifiers, levels, released=released)


def reads(spec: StageSpec) -> Reads | None:
    """Return what the released rows follow from; None where any holds a pseudonym: each run has its own.

    Pseudonyms are those of keys and of identifiers that are hashed, and what masks identifiers in rejected rows.
    """
    declared, read = declared_of(spec), table_of(read_ingested(spec))
    config = declared.config
    if config.of("key") or "hash" in read.identifiers.values() or read.rows.quarantined:
        return None
    secret = agency_secret(pseudonym_secret_path(spec.places.agency(str(spec.agency))))
    inputs: dict[str, JsonValue] = {
        **digests(path(spec.folder) for path in (raw_path, rejected_path, ingested_path)),
        "scoring": declared.scoring,
        "split": sha256_hex(split_secret(secret, spec.scenario)),
        "preparation": agreed(spec).model_dump_json() if config.surveyed else None,
        "hierarchies": hierarchy_digests(hierarchies_folder(spec.federation, spec.scenario), config),
    }
    made = (preparation_path, quarantine_path, deidentified_path, privacy_path, deidentified_record_path)
    return Reads(inputs, tuple(path(spec.folder) for path in made), _fits)


def _fits(folder: Path) -> None:
    """Refuse rows of which any was lost, or a privacy report that is of other rows; raises InputError."""
    record = Deidentified.model_validate_json(deidentified_record_path(folder).read_bytes())
    assert record.rows is not None  # of a table it is always there
    check_balance(record.rows, deidentified_path(folder).name)
    told = [record.sha256]
    if privacy_path(folder).exists():
        told.append(PrivacyReport.model_validate_json(privacy_path(folder).read_bytes()).sha256)
    if set(told) != {sha256_file(deidentified_path(folder))}:
        raise InputError(f"{deidentified_path(folder).name}: not the rows that the records beside it are of")


def row_counts(record: Deidentified) -> dict[str, int]:
    """Return the rows that came in and what became of them; nothing, not even the rest, if a part is a small cell."""
    rows = record.rows
    assert rows is not None  # of a table it is always there
    suppressed = record.quarantined_by_reason.get(reasons.SUPPRESSED, 0)
    return counts_of(
        rejected=rows.quarantined - suppressed, suppressed=suppressed, merged=rows.merged, rows_out=rows.rows_out
    )


def checked_record(spec: StageSpec) -> Deidentified:
    """Return what this stage left of its rows, held against their file; raises InputError."""
    path = deidentified_path(spec.folder)
    try:
        record = Deidentified.model_validate_json(deidentified_record_path(spec.folder).read_bytes())
        if sha256_file(path) == record.sha256:
            return record
    except FileNotFoundError:
        pass
    raise InputError(f"{path.name}: missing, or not the file that anonymize left in this run; start a new run")


def _frozen(spec: StageSpec) -> Deidentified | None:
    """Return the record of a run whose examples are frozen; None before that."""
    return checked_record(spec) if prepared_path(spec.folder).exists() else None


def _anonymize(spec: StageSpec, declared: Declared) -> Deidentified:
    where = f"agency {spec.agency}: {declared.source.where}"
    read = table_of(read_ingested(spec))
    secret = agency_secret(pseudonym_secret_path(spec.places.agency(str(spec.agency))))
    key = run_key(secret, spec.scenario, spec.run_id)
    raw = read_table(raw_path(spec.folder))
    places = split_places(raw, declared, split_secret(secret, spec.scenario))
    table = with_places(without_identifiers(raw, declared, key), places)
    rejected = rejected_without_identifiers(read_table(rejected_path(spec.folder)), declared, key)
    why = read_reasons(rejected_path(spec.folder))
    released = _release(spec, declared, table, where)
    if isinstance(released, Released):
        lost = as_rejected(table.rows(~released.kept), tuple(rejected.columns))
        rejected, why = joined([rejected, lost]), why + [reasons.SUPPRESSED] * len(lost)
        # The split's places are in the table: a household's key would only join again what k keeps apart.
        keys = {column.column for column in declared.config.of("key")}
        kept = released.table.rows(released.kept)
        table = Table({name: values for name, values in kept.columns.items() if name not in keys})
    else:
        table = released
    rows = RowCounts(rows_in=read.rows.rows_in, rows_out=len(table), quarantined=len(rejected), merged=read.rows.merged)
    check_balance(rows, where)
    path = deidentified_path(spec.folder)
    write_table(quarantine_path(spec.folder), rejected, why)
    write_table(path, table)
    sha256 = sha256_file(path)
    privacy_path(spec.folder).unlink(missing_ok=True)
    if isinstance(released, Released):
        assert declared.config.privacy is not None  # a release has a policy
        report = released.report(declared.config.privacy, sha256=sha256)
        write_atomic(privacy_path(spec.folder), report.model_dump_json(indent=1).encode())
        require_policy(report, where)
    record = Deidentified(
        identifiers=read.identifiers,
        rows=rows,
        quarantined_by_reason=dict(sorted(Counter(why).items())),
        sha256=sha256,
    )
    # Last: whoever finds the record finds the rows.
    write_atomic(deidentified_record_path(spec.folder), record.model_dump_json(indent=1).encode())
    return record


def _release(spec: StageSpec, declared: Declared, table: Table, where: str) -> Released | Table:
    """Generalize, and in a retraining suppress; a table in which nothing has to be generalized stays as it is."""
    config = declared.config
    if not config.surveyed:
        return table
    preparation: Preparation = agreed(spec)
    write_atomic(preparation_path(spec.folder), preparation.model_dump_json(indent=1).encode())
    if config.privacy is None:
        return table
    hierarchies = load_hierarchies(hierarchies_folder(spec.federation, spec.scenario), config)
    if declared.scoring:
        return generalized(table, preparation.levels, hierarchies, where=where)
    return release(table, config, preparation.levels, hierarchies, where=where)
