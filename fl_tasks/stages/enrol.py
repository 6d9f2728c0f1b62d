"""Who takes part: make keys, propose a roster, approve it by its hash. By people, before any run."""

from __future__ import annotations

import datetime as dt
import json
import re
import secrets
import textwrap
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from fl_tasks.contracts.base import Contract, canonical_json, describe, make_private_folder, write_atomic
from fl_tasks.contracts.config import ScenarioConfig, load_agency, load_federation, load_scenario, load_yaml
from fl_tasks.contracts.connection import exchange_key_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.policy import AdmittedSource, Policy, ScenarioPolicy
from fl_tasks.contracts.roster import Card, Roster
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.open import open_exchange
from fl_tasks.exchange.store import Exchange
from fl_tasks.secagg.errors import RosterNotApproved
from fl_tasks.secagg.journal import open_journal
from fl_tasks.secagg.parameters import checked_threshold
from fl_tasks.secagg.records import read_record, sign_record
from fl_tasks.secagg.session import survivor_key
from fl_tasks.stages.context import (
    MOST_MESSAGE_BYTES,
    airflow_key_path,
    approved_roster_path,
    interval_text,
    journal_paths,
    load_key,
    protocol_key_path,
    training_secret_path,
)
from fl_tasks.stages.installed_code import approve_code
from fl_tasks.stages.policy import columns_read, policy_path
from fl_tasks.stages.survey.request import is_surveyed

# A first policy that admits the scenario as it stands, with room for its parameter count to be told.
_FIRST_MAX_PARAMETERS = 10_000_000
# Of the words that a survey sums, likewise; none where the scenario has no survey.
_FIRST_MAX_SURVEY_VALUES = 1_000_000


class Approval(Contract):
    """A member's word that it saw a roster and takes part under it."""

    agency: str
    roster_sha256: str


def init_agency(home: Home, federation: Path, scenario: str, agency: str) -> Card:
    """Make an agency's folder, keys and policy.yaml, approve the code as installed, and post the agency's card.

    Existing keys are kept, and so is all that policy.yaml says; a scenario that it does not name is added. A card that
    says other keys than the one before (after `fl agency rotate`) takes the next number beside it.

    Raises:
        ConfigError: If agency or scenario are unknown, or the agency has not joined the scenario.
    """
    config = load_scenario(federation, scenario)
    source = load_agency(federation, agency).scenarios.get(scenario)
    if source is None:
        raise ConfigError(
            f"{federation / 'agencies' / agency}.yaml: field scenarios: {scenario!r} is not there; add it"
        )
    folder = home.agency(agency)
    make_private_folder(folder)
    folder.chmod(0o700)
    card = make_card(folder, agency)
    if not training_secret_path(folder).exists():
        write_atomic(training_secret_path(folder), secrets.token_bytes(32))
    _admit_scenario(policy_path(folder), agency, config, source)
    approve_code(home, federation, agency)
    _post_card(open_exchange(home, agency, Space("rosters", scenario)), card)
    return card


def make_card(folder: Path, agency: str) -> Card:
    """Return an agency's card; keys that are not there yet are made."""
    for path in (protocol_key_path, airflow_key_path, exchange_key_path):
        make_key(path(folder))
    return load_card(folder, agency)


def load_card(folder: Path, agency: str) -> Card:
    """Return an agency's card; raises ConfigError if it has not all its keys."""
    protocol, airflow, exchange = (
        _public(load_key(path(folder))) for path in (protocol_key_path, airflow_key_path, exchange_key_path)
    )
    return Card(name=agency, protocol_key=protocol, airflow_key=airflow, exchange_key=exchange)


def init_coordinator(home: Home, federation: Path, scenario: str) -> Roster:
    """Make the coordinator's key and propose the roster of all agencies that joined.

    Raises:
        ConfigError: If an agency has posted no card, or another one than was admitted, or the parameters do not fit the
            number of agencies.
    """
    from fl_tasks.exchange.admitted import admitted  # noqa: PLC0415 - tokens, which only a server has

    config = load_scenario(federation, scenario)
    key = make_key(protocol_key_path(home.coordinator))
    let_in = admitted(home)
    exchange = open_exchange(home, None, Space("rosters", scenario))
    cards = []
    for member in load_federation(federation).members(scenario):
        posted = _posted_cards(exchange, member.agency)
        if not posted:
            raise ConfigError(
                f"agency {member.agency} joined {scenario} but has no keys yet; run "
                f"`fl agency init --scenario {scenario} --agency {member.agency}` there"
            )
        try:
            cards.append(Card.model_validate_json(posted[-1]))
        except ValidationError as error:
            name = _card_name(member.agency, len(posted))
            raise ConfigError(f"{name}: not an agency's card: {describe(error)}") from error
        # Whoever has an agency's exchange key can post a card, but not have it admitted.
        if member.agency in let_in and let_in[member.agency].card != cards[-1]:
            raise ConfigError(
                f"agency {member.agency} posted the card {cards[-1].fingerprint}, admitted is "
                f"{let_in[member.agency].card.fingerprint}: let its operator run `fl agency init` with the keys that "
                "were admitted, or find out who posted the other card"
            )
    secagg = config.secagg.model_copy(update={"t": checked_threshold(len(cards), config.secagg)})
    proposals = _proposals(exchange)
    roster = Roster(
        scenario=scenario,
        version=1,
        members=tuple(cards),
        coordinator_key=_public(key),
        secagg=secagg,
        r_max=config.rounds.groups,
    )
    same = [old for old in proposals if old.model_copy(update={"version": 1}) == roster]
    roster = same[-1] if same else roster.model_copy(update={"version": len(proposals) + 1})
    exchange.put(f"rosters/{roster.version}.json", _roster_bytes(roster))
    write_atomic(approved_roster_path(home.coordinator, scenario), _roster_bytes(roster))
    return roster


def approve(home: Home, scenario: str, agency: str, sha256: str) -> Roster:
    """Approve a proposed roster by its hash, at one agency; only this makes its runs acceptable there.

    Raises:
        RosterNotApproved: If no proposal has this hash, or it does not hold this agency's own keys.
        ConfigError: If its threshold is none of the protocol's.
    """
    exchange = open_exchange(home, agency, Space("rosters", scenario))
    folder = home.agency(agency)
    found = {roster.sha256.hex(): roster for roster in _proposals(exchange)}
    if sha256 not in found:
        raise RosterNotApproved(
            f"no proposed roster of {scenario} has hash {sha256}; proposed are: {', '.join(found) or 'none'}"
        )
    roster = found[sha256]
    checked_threshold(len(roster.members), roster.secagg)
    if load_card(folder, agency) not in roster.members:
        raise RosterNotApproved(f"roster {sha256} does not hold this agency's own keys; it is not approved")
    write_atomic(approved_roster_path(folder, scenario), _roster_bytes(roster))
    signed = sign_record(load_key(protocol_key_path(folder)), "approval", Approval(agency=agency, roster_sha256=sha256))
    exchange.put(f"approvals/{sha256}/{agency}", signed)
    return roster


def approvals(home: Home, roster: Roster, party: str | None = None) -> set[str]:
    """Return the agencies whose signed approval of a roster is there, as a party sees it; None: the coordinator."""
    exchange = open_exchange(home, party, Space("rosters", roster.scenario))
    found = set()
    for card in roster.members:
        data = exchange.find(f"approvals/{roster.sha256.hex()}/{card.name}")
        if data is not None:
            record = read_record(data, bytes.fromhex(card.protocol_key), "approval", Approval)
            if (record.agency, record.roster_sha256) == (card.name, roster.sha256.hex()):
                found.add(card.name)
    return found


def lift(home: Home, scenario: str, agency: str, model: str, interval: tuple[str, str]) -> None:
    """Let an agency's own operator admit one more survivor set under a model and data interval.

    Args:
        home: The installation.
        scenario: The scenario.
        agency: The agency.
        model: The model's hash, 64 hexadecimal digits, as the refusal names it.
        interval: The run's data interval, ISO times with their UTC offsets.

    Raises:
        ConfigError: If the hash is none, or a time cannot be read.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", model):
        raise ConfigError("MODEL must be the 64 hexadecimal digits that the refusal named")
    try:
        start, end = (dt.datetime.fromisoformat(time) for time in interval)
    except ValueError as error:
        raise ConfigError("--start and --end must be ISO times, as in the report") from error
    if start.tzinfo is None or end.tzinfo is None:
        raise ConfigError("--start and --end need their UTC offsets, as in the report")
    folder = home.agency(agency)
    with open_journal(*journal_paths(folder, scenario)) as journal:
        journal.append("lifted", "", key=survivor_key(bytes.fromhex(model), interval_text((start, end))))


def _proposals(exchange: Exchange) -> list[Roster]:
    rosters = []
    for name in exchange.names("rosters"):
        try:
            rosters.append(Roster.model_validate_json(exchange.get(name)))
        except ValidationError as error:
            raise ConfigError(f"{name}: not a roster: {describe(error)}") from error
    return sorted(rosters, key=lambda roster: roster.version)


def _roster_bytes(roster: Roster) -> bytes:
    return json.dumps(roster.model_dump(mode="json", by_alias=True), indent=1).encode()


def make_key(path: Path) -> Ed25519PrivateKey:
    """Return a party's private key, which is made if there is none; raises ConfigError."""
    if not path.exists():
        write_atomic(path, Ed25519PrivateKey.generate().private_bytes_raw())
    return load_key(path)


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _card_name(agency: str, number: int) -> str:
    """Name of an agency's first, second, ... card in the exchange of a roster."""
    return f"cards/{agency}.json" if number == 1 else f"cards/{agency}-{number}.json"


def _posted_cards(exchange: Exchange, agency: str) -> list[bytes]:
    """Read an agency's cards, the newest last."""
    found: list[bytes] = []
    while (data := exchange.find(_card_name(agency, len(found) + 1), MOST_MESSAGE_BYTES)) is not None:
        found.append(data)
    return found


def _post_card(exchange: Exchange, card: Card) -> None:
    data = canonical_json(card.model_dump(mode="json"))
    posted = _posted_cards(exchange, card.name)
    if posted[-1:] != [data]:
        exchange.put(_card_name(card.name, len(posted) + 1), data)


def _admit_scenario(path: Path, agency: str, config: ScenarioConfig, source: SourceConfig | TableSource) -> None:
    """Add a scenario to an agency's policy as it stands, unless it is there; what is there stays letter by letter."""
    if not path.exists():
        text = f"# What {agency} admits, whatever a request from outside says. Edit here only.\n"
        text += f"agency: {agency}\nscenarios:\n"
    elif config.scenario in load_yaml(path, Policy).scenarios:
        return
    else:
        text = path.read_text(encoding="utf-8").rstrip("\n") + "\n"
    text += f"  {config.scenario}:\n{textwrap.indent(_described(_first_policy(config, source)), '    ')}"
    try:
        Policy.model_validate_json(json.dumps(yaml.safe_load(text)))
    except (ValidationError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: scenario {config.scenario} cannot be added at its end; let `scenarios:` be the last field, with "
            "its scenarios indented by two spaces"
        ) from error
    write_atomic(path, text.encode())


def _first_policy(config: ScenarioConfig, source: SourceConfig | TableSource) -> ScenarioPolicy:
    flows = source.flow_table if isinstance(source, SourceConfig) else None
    asked = config.table.privacy if isinstance(source, TableSource) else None
    return ScenarioPolicy(
        sources=(AdmittedSource.of(source),),
        flow_tables={} if flows is None else {flows.path: flows.limit},
        identifiers=source.identifiers,
        columns=columns_read(config.table, source) if isinstance(source, TableSource) else None,
        roles={one.column: one.role for one in config.table.columns} if isinstance(source, TableSource) else {},
        least_k=None if asked is None else asked.k,
        least_l=None if asked is None else asked.l,
        most_t=None if asked is None else asked.t,
        most_suppressed=None if asked is None else asked.suppression,
        max_lookback_months=config.schedule.lookback_months,
        masking=config.secagg.mode,
        approval="policy",
        max_rounds=config.rounds.groups,
        max_local_epochs=config.learning.local_epochs,
        models={config.learning.model: config.learning.units},
        max_parameters=_FIRST_MAX_PARAMETERS,
        max_clip=config.secagg.clip,
        max_survey_values=_FIRST_MAX_SURVEY_VALUES if is_surveyed(config) else 0,
    )


def _described(policy: ScenarioPolicy) -> str:
    """Return a policy as YAML, each field under its description."""
    values = policy.model_dump(mode="json")
    values["sources"] = [{key: part for key, part in place.items() if part is not None} for place in values["sources"]]
    lines = []
    for name, value in values.items():
        about = ScenarioPolicy.model_fields[name].description or ""
        lines += [f"# {line}" for line in textwrap.wrap(about, 110)]
        lines.append(yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True).rstrip("\n"))
    return "\n".join(lines) + "\n"
