"""watch: an agency holds its newest data against those that the champion was trained on, and posts a verdict.

Nothing else leaves: the verdict, and a bounded index where the agency's policy lets it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.data import Accepted, accepted_path, raw_path, standardized_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.watch import MOST_SCORE, TrainedOn, WatchBody
from fl_tasks.data import drift
from fl_tasks.data.accepted import load_accepted
from fl_tasks.data.ingest import local_interval
from fl_tasks.data.series import read_series
from fl_tasks.data.tables import quality
from fl_tasks.data.tables.table import read_table
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages.champions import NoChampion, accept_champion
from fl_tasks.stages.context import StageSkipped, exchange_of, exchange_refs, folder_of, load_key, protocol_key_path
from fl_tasks.stages.lineage import champion_ref, of_run
from fl_tasks.stages.policy import open_gate
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, load_domains

log = logging.getLogger(__name__)

LABEL = "watch"


def word_name(agency: str) -> str:
    """Name of an agency's word in the exchange of a watch run."""
    return f"watch/{agency}"


def run(spec: StageSpec) -> StageResult:
    """Sign and post the verdict; a second call finds it posted.

    Raises:
        StageSkipped: If there is no champion, no record of the data that it was trained on, or nothing newer.
        MissingInput: If the stages before have not run.
        ConfigError: If the scenario does not ask for a watch.
        ProtocolError: If the champion is not the coordinator's, or older than one used here before.
    """
    agency = str(spec.agency)
    config = load_scenario(spec.federation, spec.scenario)
    if config.drift is None:
        raise ConfigError(f"scenario {spec.scenario}: field drift: it is not there; it says from where on data moved")
    try:
        champion, _ = accept_champion(spec)
    except NoChampion as error:
        raise StageSkipped(str(error)) from error
    score = _score(spec, config, champion, _trained_on(spec, champion).accepted)
    told = round(min(score, MOST_SCORE), 2) if open_gate(spec).policy.share_drift else None
    body = WatchBody(
        run_id=spec.run_id,
        agency=agency,
        model_sha256=champion.model_sha256,
        moved=score > config.drift.limit,
        score=told,
    )
    exchange, name = exchange_of(spec), word_name(agency)
    if exchange.find(name) is None:
        exchange.put(name, sign_record(load_key(protocol_key_path(folder_of(spec))), LABEL, body))
    log.info("stage=watch agency=%s version=%d moved=%s", agency, champion.version, body.moved)
    return StageResult(
        stage="watch",
        status="done",
        reason=f"the data {'have' if body.moved else 'have not'} moved since version {champion.version}",
        version=champion.version,
        inputs=(champion_ref(champion), of_run(spec, _read_from(spec, config).name)),
        outputs=exchange_refs(name),
    )


def trained_on_path(folder: Path, scenario: str) -> Path:
    """Where an agency remembers what it gave to the champion's training."""
    return folder / "watched" / f"{scenario}.json"


def _trained_on(spec: StageSpec, champion: ChampionBody) -> TrainedOn:
    """Return what is remembered; the first time, what validate remembers of the run that trained the champion."""
    folder = folder_of(spec)
    path = trained_on_path(folder, spec.scenario)
    if path.exists():
        known = TrainedOn.model_validate_json(path.read_bytes())
        if known.model_sha256 == champion.model_sha256:
            return known
    end = champion.data_interval[1]
    newest = load_accepted(accepted_path(folder, spec.scenario))
    for record in (newest, newest.previous) if newest is not None else ():
        if record is not None and record.interval_end == end and record.reference:
            found = TrainedOn(model_sha256=champion.model_sha256, accepted=record.model_copy(update={"previous": None}))
            write_atomic(path, found.model_dump_json(indent=1).encode())
            return found
    raise StageSkipped(
        f"{spec.agency} has no record of its data up to {end.date()}, on which version {champion.version} was trained: "
        "it was not part of that training, or later ones were held since; the next promoted model is watched again"
    )


def _read_from(spec: StageSpec, config: ScenarioConfig) -> Path:
    return (raw_path if isinstance(config.data, TableConfig) else standardized_path)(spec.folder)


def _score(spec: StageSpec, config: ScenarioConfig, champion: ChampionBody, before: Accepted) -> float:
    """Return the population stability index; of a table the largest of its columns."""
    path = _read_from(spec, config)
    if isinstance(config.data, TableConfig):
        domains = {
            name: tuple(domain.values)
            for name, domain in load_domains(hierarchies_folder(spec.federation, spec.scenario), config.data).items()
        }
        moved = quality.moved(before, read_table(path), config.data, domains)
        if moved.empty:
            raise StageSkipped(f"{spec.agency} has no column that was watched when the champion was trained")
        return float(moved["psi"].max())
    # As long a span as the champion's own month, up to now.
    first, last = champion.data_interval
    end = spec.data_interval[1]
    values = drift.month_values(read_series(path), local_interval(config.schedule, (end - (last - first), end)))
    if not values.size:
        raise StageSkipped(f"{spec.agency} has no value of the {(last - first).days} days before {end.date()}")
    return drift.psi(before.reference[drift.VALUE], values)
