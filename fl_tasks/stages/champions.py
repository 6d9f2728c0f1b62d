"""The chain of champions in the exchange: signed, written once under its number, read and verified as a whole.

    champions/1.json   promote version 1      models/<sha256>.npz
    champions/2.json   promote version 3      (version 2 was held)
    champions/3.json   rollback version 1

Numbers never go back: a rollback is a new record. Whoever reads the chain sees all of it or refuses.
"""

from __future__ import annotations

import datetime as dt
import fcntl
from pathlib import Path

from pydantic import Field, ValidationError

from fl_tasks.contracts.base import Contract, Sha256, canonical_json, make_private_folder, sha256_hex, write_atomic
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.roster import Signed
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.contracts.tensors import Tensors, tensors_from_bytes, tensors_sha256
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.errors import ExchangeConflict
from fl_tasks.exchange.open import open_exchange
from fl_tasks.exchange.store import Exchange
from fl_tasks.secagg.errors import ChampionChainBroken, ChampionRolledBack, ModelMismatch
from fl_tasks.secagg.records import read_record, sign_record
from fl_tasks.stages.context import folder_of, load_key, load_roster, protocol_key_path

LABEL = "champion"
_FOLDER = "champions"


class NoChampion(FLError):
    """No model was promoted yet."""


class ChampionMoved(FLError):
    """Another promotion or rollback took the place in the chain that this one was decided for."""


class _Used(Contract):
    """What an agency remembers of the chain: the highest record that it used."""

    number: int = Field(ge=1)
    record_sha256: Sha256


def champions_exchange(spec: StageSpec) -> Exchange:
    """The exchange of a scenario's promoted models."""
    return open_exchange(spec.places, spec.agency, Space("registry", spec.scenario))


def record_name(number: int) -> str:
    """Name of a record of the chain."""
    return f"{_FOLDER}/{number}.json"


def model_name(sha256: str) -> str:
    """Name of a promoted model's weights."""
    return f"models/{sha256}.npz"


def champions(exchange: Exchange, public_key: bytes) -> list[ChampionBody]:
    """Read and verify the whole chain, in order of number; empty if nothing was promoted yet.

    Args:
        exchange: Of the scenario's registry.
        public_key: The coordinator's Ed25519 key of the approved roster, 32 bytes.

    Raises:
        ChampionChainBroken: If a number is missing, strange or holds another number's record, a record is of
            another scenario, or one version stands for two models.
        MalformedMessage: If a record is torn.
        BadSignature: If the coordinator did not sign it.
    """
    numbers = sorted(_number(name) for name in exchange.names(_FOLDER))
    if numbers != list(range(1, len(numbers) + 1)):
        missing = min(set(range(1, numbers[-1])) - set(numbers))
        raise ChampionChainBroken(
            f"{record_name(missing)} is missing, {record_name(numbers[-1])} is there: "
            "the coordinator has to restore the chain of champions as it was"
        )
    chain: list[ChampionBody] = []
    for number in numbers:
        body = read_record(exchange.get(record_name(number)), public_key, LABEL, ChampionBody)
        _check_next(chain, body, number)
        chain.append(body)
    return chain


def current(chain: list[ChampionBody]) -> ChampionBody | None:
    """Return today's champion."""
    return chain[-1] if chain else None


def as_of(chain: list[ChampionBody], end: dt.datetime) -> ChampionBody | None:
    """Return the champion that was known at the end of an interval: the last record of one that ended by then."""
    return next((body for body in reversed(chain) if body.data_interval[1] <= end), None)


def is_backfill(chain: list[ChampionBody], end: dt.datetime) -> bool:
    """Say whether an interval is older than one whose model is or was champion."""
    return any(body.data_interval[1] > end for body in chain)


def same_shapes(one: ModelSpec, other: ModelSpec) -> bool:
    """Say whether the weights of one model fit the other and read the same, so that both can be scored on one test."""
    return (
        (one.scenario, one.input_shape, one.output_shape, one.learning.model, one.learning.units)
        == (other.scenario, other.input_shape, other.output_shape, other.learning.model, other.learning.units)
        and (one.step_minutes, one.calendar, one.rate, one.quantiles, one.classes)
        == (other.step_minutes, other.calendar, other.rate, other.quantiles, other.classes)
        and _same_features(one.preparation, other.preparation)
    )


def _same_features(one: Preparation | None, other: Preparation | None) -> bool:
    """Another scale does no harm: rows are put into the champion's before it is scored."""
    return one is other is None or (one is not None and other is not None and one.same_features(other))


def load_champion(exchange: Exchange, body: ChampionBody) -> Tensors:
    """Read a champion's weights; raises ModelMismatch if they are not those of the record, MissingInput."""
    name = model_name(body.model_sha256)
    weights = tensors_from_bytes(exchange.get(name), source=name)
    if tensors_sha256(weights).hex() != body.model_sha256:
        raise ModelMismatch(f"{name} is not the model of champion record {body.number}; it was altered")
    return weights


def own_chain(spec: StageSpec) -> list[ChampionBody]:
    """Read the scenario's chain as the approved roster of whoever does this stage verifies it."""
    roster = load_roster(folder_of(spec), spec.scenario)
    chain = champions(champions_exchange(spec), bytes.fromhex(roster.coordinator_key))
    if chain and chain[0].scenario != spec.scenario:
        raise ChampionChainBroken(f"the champions of {spec.scenario} are records of scenario {chain[0].scenario}")
    return chain


def promotion_of(spec: StageSpec) -> ChampionBody | None:
    """Return the record by which the spec's run made its model champion, or None."""
    return next((body for body in own_chain(spec) if (body.action, body.run_id) == ("promote", spec.run_id)), None)


def append(spec: StageSpec, body: ChampionBody) -> None:
    """Put the coordinator's next record; it is the commit point of a promotion or rollback.

    Raises:
        ChampionMoved: If its number is taken by another record.
    """
    signed = sign_record(load_key(protocol_key_path(spec.places.coordinator)), LABEL, body)
    try:
        champions_exchange(spec).put(record_name(body.number), signed)
    except ExchangeConflict as error:
        raise ChampionMoved(
            f"champion record {body.number} is taken: another promotion or rollback came first. "
            "Nothing was changed; look at today's champion and start a new run"
        ) from error


def accept_champion(spec: StageSpec) -> tuple[ChampionBody, Tensors]:
    """Return today's champion as an agency may trust it, and remember its number.

    Raises:
        NoChampion: If nothing was promoted yet.
        ChampionRolledBack: If the chain is shorter than, or differs from, what this agency has used.
        ProtocolError: As champions() and load_champion() do.
    """
    chain = own_chain(spec)
    path = used_path(folder_of(spec), spec.scenario)
    make_private_folder(path.parent)
    with path.with_suffix(".lock").open("w") as lock:
        # Two runs of one agency must not write a lower number over a higher one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _check_used(spec, path, len(chain))
        champion = current(chain)
        if champion is None:
            raise NoChampion(f"scenario {spec.scenario} has no champion yet: a retraining has to promote one first")
        weights = load_champion(champions_exchange(spec), champion)
        used = _Used(number=champion.number, record_sha256=_record_sha256(spec, champion.number))
        write_atomic(path, used.model_dump_json().encode())
    return champion, weights


def used_path(folder: Path, scenario: str) -> Path:
    """Where an agency remembers the highest champion record that it used."""
    return folder / "secagg" / scenario / "champion.json"


def _check_used(spec: StageSpec, path: Path, length: int) -> None:
    if not path.exists():
        return
    try:
        used = _Used.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ChampionRolledBack(f"{path}: not readable; restore it from your backup before using a model") from error
    if length < used.number:
        raise ChampionRolledBack(
            f"the chain of champions ends at record {length}, this agency has used {used.number}: a promotion or "
            "rollback is being hidden. Ask the coordinator; no older model is used"
        )
    if _record_sha256(spec, used.number) != used.record_sha256:
        raise ChampionRolledBack(
            f"champion record {used.number} is another one than this agency has used: the coordinator signed two. "
            "Ask the coordinator; no model is used"
        )


def _record_sha256(spec: StageSpec, number: int) -> str:
    """Hash what was signed, as it lies there: a later version of the software reads the same."""
    signed = Signed.model_validate_json(champions_exchange(spec).get(record_name(number)))
    return sha256_hex(canonical_json(signed.body))


def _number(name: str) -> int:
    stem = name.removeprefix(f"{_FOLDER}/").removesuffix(".json")
    if not stem.isascii() or not stem.isdigit() or name != record_name(int(stem)) or int(stem) < 1:
        raise ChampionChainBroken(f"{name} is no champion record; they are called {_FOLDER}/1.json and so on")
    return int(stem)


def _check_next(chain: list[ChampionBody], body: ChampionBody, number: int) -> None:
    """Hold a verified record against those before it."""
    if body.number != number:
        raise ChampionChainBroken(f"{record_name(number)} holds record {body.number}: the chain was re-ordered")
    if chain and body.scenario != chain[0].scenario:
        raise ChampionChainBroken(f"{record_name(number)} is of scenario {body.scenario}, not {chain[0].scenario}")
    promoted = [other for other in chain if (other.action, other.version) == ("promote", body.version)]
    if body.action == "promote":
        if promoted:
            raise ChampionChainBroken(f"{record_name(number)} promotes version {body.version} a second time")
    elif not promoted or _model_facts(promoted[0]) != _model_facts(body):
        raise ChampionChainBroken(f"{record_name(number)} restores version {body.version}, which was not promoted so")


def _model_facts(body: ChampionBody) -> tuple[object, ...]:
    return body.version, body.model_sha256, body.model, body.run_id, body.data_interval
