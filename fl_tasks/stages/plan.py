"""plan: the coordinator says to each agency what a retraining wants of it, signed, with all the code that may run."""

from __future__ import annotations

import datetime as dt
import logging

from fl_tasks.approvals.check import Wanted
from fl_tasks.approvals.delivery import MOST_CODE_BYTES, PLAN_LABEL, hashes, pack, unpack
from fl_tasks.contracts.base import canonical_json, sha256_hex
from fl_tasks.contracts.config import ScenarioConfig, load_scenario, load_source
from fl_tasks.contracts.plan import Plan, Terms, code_sha256
from fl_tasks.contracts.policy import AdmittedSource
from fl_tasks.contracts.roster import Roster
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.data.tables.declaration import declare
from fl_tasks.exchange.store import Exchange
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages.context import (
    config_sha256,
    exchange_of,
    exchange_refs,
    folder_of,
    load_key,
    load_roster,
    protocol_key_path,
)
from fl_tasks.stages.installed_code import installed_files, installed_paths
from fl_tasks.stages.invitation import check_fit

CODE = "plan/code"

log = logging.getLogger(__name__)


def plan_name(agency: str) -> str:
    """The name of an agency's plan in the exchange."""
    return f"plan/to/{agency}"


def run(spec: StageSpec) -> StageResult:
    """Sign a plan for each agency of the roster; a second call sends the same bytes.

    Raises:
        ConfigError: If the scenario's configuration does not fit the approved roster.
        ExchangeConflict: If the code or a YAML changed since the first call: a run's plans never change.
    """
    config = load_scenario(spec.federation, spec.scenario)
    roster = load_roster(spec.places.coordinator, spec.scenario)
    check_fit(config, roster)
    exchange = exchange_of(spec)
    key = load_key(protocol_key_path(spec.places.coordinator))
    files = {name: path.read_bytes() for name, path in installed_paths(spec.places, spec.federation).items()}
    archive = _archive(exchange, files)
    exchange.put(CODE, archive)
    wanted = tuple(name for name in roster.names if spec.agencies is None or name in spec.agencies)
    plans = {}
    for agency in wanted:
        terms = terms_of(spec, config, roster, agency, code_sha256(hashes(files)))
        plan = Plan(
            terms=terms,
            run_id=spec.run_id,
            data_interval=plan_interval(spec),
            code_archive_sha256=sha256_hex(archive),
        )
        exchange.put(plan_name(agency), sign_record(key, PLAN_LABEL, plan))
        plans[agency] = plan.sha256
    log.info("stage=plan agencies=%d files=%d bytes=%d", len(plans), len(files), len(archive))
    return StageResult(
        stage="plan",
        status="done",
        members=wanted,
        digests=plans,
        outputs=exchange_refs(CODE, *map(plan_name, wanted)),
    )


def terms_of(spec: StageSpec, config: ScenarioConfig, roster: Roster, agency: str, code: str) -> Terms:
    """Return what a retraining wants of an agency, as the installation that calls this sees it.

    The coordinator signs it; the agency computes its own and compares.

    Args:
        spec: Of any stage of the retraining.
        config: Of the scenario.
        roster: The approved one.
        agency: Whose data.
        code: Digest of all code that is installed.

    Raises:
        ConfigError: If the agency has not joined the scenario, or declares its table wrongly.
    """
    source = load_source(spec.federation, agency, spec.scenario)
    columns = _table_columns(config.table, source) if isinstance(source, TableSource) else _series_columns(source)
    return Terms(
        scenario=spec.scenario,
        agency=agency,
        code_sha256=code,
        config_sha256=config_sha256(config),
        roster_sha256=roster.sha256.hex(),
        source=str(AdmittedSource.of(source)),
        source_sha256=sha256_hex(canonical_json(source.model_dump(mode="json"))),
        lookback_months=config.schedule.lookback_months,
        columns=columns,
        model=config.learning.model,
        rounds=config.rounds.groups,
        clip=config.secagg.clip,
        privacy=_privacy(config, source, roster),
    )


def wanted_of(spec: StageSpec) -> Wanted:
    """Return what an agency's installation would do in the retraining of a spec; raises as terms_of."""
    agency = str(spec.agency)
    config = load_scenario(spec.federation, spec.scenario)
    files = installed_files(spec.places, spec.federation)
    terms = terms_of(spec, config, load_roster(folder_of(spec), spec.scenario), agency, code_sha256(files))
    return Wanted(spec.prepared_run_id, spec.data_interval, terms, files)


def plan_interval(spec: StageSpec) -> tuple[dt.datetime, dt.datetime]:
    """A spec's data interval as a plan has it: in UTC, whatever offset the scheduler wrote."""
    start, end = (moment.astimezone(dt.UTC) for moment in spec.data_interval)
    return start, end


def _archive(exchange: Exchange, files: dict[str, bytes]) -> bytes:
    """Return the archive of the files: the one that was sent, if it holds them, since xz may pack otherwise by now."""
    sent = exchange.find(CODE, MOST_CODE_BYTES)
    return sent if sent is not None and unpack(sent) == files else pack(files)


def _table_columns(config: TableConfig, source: TableSource) -> dict[str, str]:
    """Return delivered column -> its role, of all that may be read of a table."""
    declared = declare(config, source)
    roles: dict[str, list[str]] = {}
    for column in declared.columns:
        roles.setdefault(declared.delivered[column.column], []).append(column.role)
    if source.as_of is not None:
        roles.setdefault(source.as_of, []).append("day that the row speaks of")
    for name, fate in declared.identifiers.items():
        told = f"direct_identifier, {_FATES[fate]}"
        roles.setdefault(declared.delivered.get(name, name), []).append(told)
    return {column: ", ".join(told) for column, told in roles.items()}


def _series_columns(source: SourceConfig) -> dict[str, str]:
    """Return delivered column -> its role, of series and of the table of trips beside them."""
    roles = {source.time.column: "time"}
    if source.long is not None:
        roles |= {source.long.series: "series", source.long.value: "value"}
    else:
        # Without names every column that has no other role is a series.
        roles |= dict.fromkeys(source.values or ("*",), "value")
    for column in source.only:
        roles[column] = f"{roles[column]}, chooses rows" if column in roles else "chooses rows"
    roles |= {column: f"identifier, {_FATES[fate]}" for column, fate in source.identifiers.items()}
    if source.flow_table is not None:
        flows = source.flow_table
        parts = {"time": flows.time, "origin": flows.origin, "destination": flows.destination, "count": flows.count}
        roles |= {f"{flows.path}: {column}": role for role, column in parts.items()}
    return roles


_FATES = {"drop": "dropped", "hash": "hashed"}


def _privacy(config: ScenarioConfig, source: SourceConfig | TableSource, roster: Roster) -> dict[str, float]:
    """Return what protects the people in the data, by name; `least_agencies` is the fewest whose sum is opened."""
    told = {"least_agencies": float(roster.t)}
    if isinstance(config.data, TableConfig) and config.data.privacy is not None:
        asked = config.data.privacy
        told |= {"k": float(asked.k), "l": float(asked.l), "t": asked.t, "most_suppressed": asked.suppression}
    if isinstance(source, SourceConfig) and source.flow_table is not None:
        told["flow_table_k"] = float(source.flow_table.limit)
    return told
