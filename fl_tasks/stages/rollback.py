"""rollback: an operator restores a former champion, as a new record of the chain."""

from __future__ import annotations

import datetime as dt
import logging

from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.registry.mlflow_store import open_store
from fl_tasks.stages import champions
from fl_tasks.stages.gate import champion_bytes
from fl_tasks.stages.promote import registry_refs

log = logging.getLogger(__name__)


class UnknownVersion(FLError):
    """No champion ever had this version."""


class NoPredecessor(FLError):
    """No other model was champion before today's."""


class AlreadyChampion(FLError):
    """The version that is to be restored is champion today."""


def run(spec: StageSpec) -> StageResult:
    """Restore spec.version, or who was champion before today's; a second call of the same run changes nothing.

    Raises:
        NoChampion: If nothing was promoted yet.
        UnknownVersion: If that version never was champion.
        NoPredecessor: If no version is named and there was none before.
        AlreadyChampion: If it is champion today.
        RegistryUnavailable: If MLflow does not answer; the rollback stands and a retry moves the alias.
    """
    chain = champions.own_chain(spec)
    done = [body for body in chain if body.rollback_run_id == spec.run_id]
    if done:
        record = done[0]
    else:
        record = _restored(spec, chain)
        champions.load_champion(champions.champions_exchange(spec), record)
        champions.append(spec, record)
        chain = [*chain, record]
    with open_store(spec.places.mlflow, spec.scenario) as store:
        store.repair(chain, lambda body: champion_bytes(spec, body))
    replaced = chain[record.number - 2]
    log.info("stage=rollback version=%d number=%d sha256=%s", record.version, record.number, record.model_sha256)
    return StageResult(
        stage="rollback",
        status="done",
        reason=f"version {record.version} is champion again, in place of version {replaced.version}",
        version=record.version,
        digests={"model": record.model_sha256},
        outputs=registry_refs(record),
    )


def predecessor(chain: list[ChampionBody]) -> ChampionBody | None:
    """Return who was champion when today's was promoted: not one that was rolled back since."""
    today = chain[-1]
    promoted = next(body for body in chain if (body.action, body.version) == ("promote", today.version))
    return chain[promoted.number - 2] if promoted.number > 1 else None


def _restored(spec: StageSpec, chain: list[ChampionBody]) -> ChampionBody:
    """The next record, from the promotion that is to count again."""
    today = champions.current(chain)
    if today is None:
        raise champions.NoChampion(f"scenario {spec.scenario} has no champion yet: there is nothing to roll back")
    versions = sorted({body.version for body in chain})
    if spec.version is None:
        target = predecessor(chain)
        if target is None:
            raise NoPredecessor(
                f"version {today.version} is champion and had no predecessor; versions that were champion: "
                f"{_listed(versions)}. Name one of them, if another is to come back"
            )
    else:
        target = next((body for body in chain if body.version == spec.version), None)
        if target is None:
            raise UnknownVersion(
                f"version {spec.version} of {spec.scenario} never was champion; these were: {_listed(versions)}"
            )
    if target.version == today.version:
        raise AlreadyChampion(f"version {target.version} of {spec.scenario} is champion already; nothing was changed")
    return target.model_copy(
        update={
            "number": len(chain) + 1,
            "action": "rollback",
            "decided_at": dt.datetime.now(dt.UTC),
            "rollback_run_id": spec.run_id,
        }
    )


def _listed(versions: list[int]) -> str:
    return ", ".join(map(str, versions))
