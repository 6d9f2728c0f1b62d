"""What the stages share: configuration, keys, exchange, and the agency's and coordinator's view of a session."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from fl_tasks.contracts.base import canonical_json, describe
from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.errors import ConfigError, FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import CohortBody, Roster
from fl_tasks.contracts.stage import DatasetRef, StageSpec
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.open import open_exchange
from fl_tasks.exchange.store import Exchange
from fl_tasks.secagg import names
from fl_tasks.secagg.agency import Party
from fl_tasks.secagg.errors import RosterNotApproved, RoundBurnt, TooFewAgencies, WrongSession
from fl_tasks.secagg.journal import open_journal
from fl_tasks.secagg.masking import derive
from fl_tasks.secagg.member import Member, Outbox
from fl_tasks.secagg.messages import RoundModel
from fl_tasks.secagg.records import read_record
from fl_tasks.secagg.session import ClosedSet, Setting, check_close
from fl_tasks.secagg.vault import Vault
from fl_tasks.stages.policy import open_gate
from fl_tasks.stages.survey.published import check_survey, check_training

# Of every message but models and uploads: over ten times the longest at 200 agencies and 50 rounds.
MOST_MESSAGE_BYTES = 16 * 2**20


class StageSkipped(Exception):
    """This stage has nothing to do in this run, for a good reason; not an error."""


def protocol_key_path(folder: Path) -> Path:
    """Where a party's Ed25519 key of the protocol lies."""
    return folder / "keys" / "protocol.key"


def airflow_key_path(folder: Path) -> Path:
    """Where an agency's Ed25519 key for Airflow's tokens lies."""
    return folder / "keys" / "airflow.key"


def training_secret_path(folder: Path) -> Path:
    """Where the secret lies from which rounding and batch order are derived."""
    return folder / "keys" / "training.secret"


def approved_roster_path(folder: Path, scenario: str) -> Path:
    """Where a party keeps the roster that it approved."""
    return folder / "approved" / f"{scenario}.json"


def sessions_folder(folder: Path) -> Path:
    """Where an agency keeps journal, secrets and messages of its sessions, a folder a scenario."""
    return folder / "secagg"


def journal_paths(folder: Path, scenario: str) -> tuple[Path, Path]:
    """An agency's journal of a scenario, and the second copy of its head, which no backup may cover."""
    return sessions_folder(folder) / scenario / "journal.jsonl", folder / "head" / f"{scenario}.json"


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key; raises ConfigError if it was never made."""
    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no key; run `fl agency init` (or `fl coordinator init`, `fl officer init`) first"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: not a raw Ed25519 private key of 32 bytes; restore it from your backup") from error


def load_roster(folder: Path, scenario: str) -> Roster:
    """Read the roster that a party approved; raises RosterNotApproved."""
    path = approved_roster_path(folder, scenario)
    try:
        return Roster.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RosterNotApproved(f"{path}: no roster was approved here; run `fl agency approve HASH` first") from error
    except ValidationError as error:
        raise RosterNotApproved(f"{path}: was damaged: {describe(error)}; approve the roster again") from error


def config_sha256(config: ScenarioConfig) -> str:
    """Hash of a scenario's configuration: agency and coordinator must have the same."""
    return hashlib.sha256(canonical_json(config.model_dump(mode="json"))).hexdigest()


def interval_text(interval: tuple[dt.datetime, dt.datetime]) -> tuple[str, str]:
    """A data interval as ISO times in UTC: a scheduled and a triggered run write the same moment differently."""
    start, end = (moment.astimezone(dt.UTC).isoformat() for moment in interval)
    return start, end


def exchange_of(spec: StageSpec) -> Exchange:
    """The exchange of the spec's run."""
    return open_exchange(spec.places, spec.agency, Space("runs", spec.run_id))


def exchange_refs(*found: str) -> tuple[DatasetRef, ...]:
    """Names of the exchange as data sets for lineage."""
    return tuple(DatasetRef(namespace="exchange", name=name) for name in found)


def by_id(exchange: Exchange, roster: Roster, folder: str) -> dict[int, bytes]:
    """Read one message a roster agency from a folder of the exchange, of those that are there.

    Not for uploads: nothing else is longer than MOST_MESSAGE_BYTES, and what is gets refused as cut short.
    """
    found = ((i, exchange.find(f"{folder}/{agency}", MOST_MESSAGE_BYTES)) for i, agency in enumerate(roster.names))
    return {i: data for i, data in found if data is not None}


def listed_keys(exchange: Exchange, setting: Setting, list_data: bytes) -> dict[int, bytes]:
    """Read the S1 of everyone on the coordinator's list."""
    listed = setting.read_list(list_data).entries
    found = ((member, names.keys(setting.roster.names[member])) for member, _ in listed)
    return {member: exchange.get(name, MOST_MESSAGE_BYTES) for member, name in found}


def folder_of(spec: StageSpec) -> Path:
    """The own folder of whoever does a stage."""
    return spec.places.coordinator if spec.agency is None else spec.places.agency(spec.agency)


@dataclass(frozen=True)
class Desk:
    """One party at work on one session: what it approved, what the coordinator signed, where messages go."""

    spec: StageSpec
    config: ScenarioConfig
    roster: Roster
    cohort: CohortBody
    exchange: Exchange

    @property
    def home(self) -> Home:
        """The installation's folders."""
        return self.spec.places

    @property
    def setting(self) -> Setting:
        """The session, for the protocol's functions."""
        return Setting(self.roster, bytes.fromhex(self.cohort.session))

    @property
    def round(self) -> int:
        """The spec's round."""
        assert self.spec.round is not None  # StageSpec holds it for the stages that ask
        return self.spec.round

    def id_of(self, agency: str) -> int:
        """An agency's id in the protocol."""
        return self.roster.names.index(agency)

    def agency_names(self, ids: tuple[int, ...] | frozenset[int]) -> tuple[str, ...]:
        """Names of ids, in the roster's order."""
        return tuple(self.roster.names[i] for i in sorted(ids))

    def signing_key(self) -> Ed25519PrivateKey:
        """The protocol key of whoever does this stage."""
        return load_key(protocol_key_path(folder_of(self.spec)))

    def closed(self) -> ClosedSet:
        """The session's closed set, checked against everything that it names."""
        list_data = self.exchange.get(names.LIST)
        files = listed_keys(self.exchange, self.setting, list_data)
        readies = by_id(self.exchange, self.roster, "setup/ready")
        return check_close(self.setting, list_data, self.exchange.get(names.CLOSE), files, readies)

    def send(self, outbox: Outbox) -> None:
        """Put journaled messages into the exchange; a name that is there with the same content is fine."""
        for name, data in outbox.items():
            self.exchange.put(name, data)

    def model_sha256(self, name: str, round_: int) -> str:
        """Read a signed model message and return the model's hash."""
        message = RoundModel.decode(self.exchange.get(name), lambda _: self.setting.coordinator_key, 0)
        self.setting.same_session(message.session, RoundModel.LABEL)
        if message.round != round_:
            raise WrongSession(f"{name}: names round {message.round}, {round_} is needed")
        return message.model.hex()


def open_desk(spec: StageSpec) -> Desk:
    """Read the session as this party may trust it.

    Raises:
        RosterNotApproved: If the cohort's roster is not the one approved here.
        WrongSession: If the cohort is of another run, purpose, interval or configuration.
        SurveyMismatch: If a survey asks for other sums than this installation's configuration.
        PreparationRefused: If a training was prepared otherwise than its survey ended.
        PolicyRefused: If an agency's policy does not admit what the cohort wants.
        MissingInput: If there is no cohort (yet).
    """
    config = load_scenario(spec.federation, spec.scenario)
    roster = load_roster(folder_of(spec), spec.scenario)
    exchange = exchange_of(spec)
    public = bytes.fromhex(roster.coordinator_key)
    cohort = read_record(exchange.get(names.COHORT), public, "cohort", CohortBody)
    if cohort.roster_sha256 != roster.sha256.hex():
        raise RosterNotApproved(
            f"the run uses roster {cohort.roster_sha256}, approved here is {roster.sha256.hex()}: "
            "look at the new one and run `fl agency approve HASH`"
        )
    if (cohort.run_id, cohort.scenario) != (spec.run_id, spec.scenario):
        raise WrongSession(f"the cohort is of run {cohort.run_id}, this is {spec.run_id}")
    check_purpose(spec, cohort)
    if tuple(time.timestamp() for time in cohort.data_interval) != tuple(t.timestamp() for t in spec.data_interval):
        raise WrongSession("the cohort has another data interval than this task")
    if cohort.config_sha256 != config_sha256(config):
        raise WrongSession(
            f"the run's configuration {cohort.config_sha256[:16]} differs from this installation's "
            f"{config_sha256(config)[:16]}: bring {spec.scenario}.yaml to the same version everywhere"
        )
    if len(cohort.agencies) < roster.t:
        raise TooFewAgencies(f"the cohort has {len(cohort.agencies)} agencies, {roster.t} are needed")
    if spec.agency is not None:
        open_gate(spec).check_cohort(cohort)
    if spec.surveys:
        check_survey(spec, config, cohort, exchange, public)
    else:
        check_training(spec, config, cohort, roster)
    return Desk(spec, config, roster, cohort, exchange)


def check_purpose(spec: StageSpec, cohort: CohortBody) -> None:
    """Hold what a cohort is for against what the run is; raises WrongSession: one never stands for the other."""
    purpose = "survey" if spec.surveys else "training"
    if cohort.purpose != purpose:
        raise WrongSession(f"the cohort is a {cohort.purpose}'s, this run is a {purpose}; ask the coordinator")


@contextmanager
def open_member(spec: StageSpec) -> Iterator[tuple[Desk, Member]]:
    """Open an agency's side of the session, its journal locked; every refusal inside is journaled.

    Raises:
        StageSkipped: If the agency is not in the run's cohort.
    """
    desk = open_desk(spec)
    assert spec.agency is not None  # StageSpec holds it for an agency's stages
    if spec.agency not in desk.cohort.agencies:
        raise StageSkipped(f"{spec.agency} was left out of this run: {desk.cohort.excluded.get(spec.agency, '')}")
    path, head = journal_paths(desk.home.agency(spec.agency), spec.scenario)
    opening = desk.cohort.session if spec.stage == "keys" else None
    with open_journal(path, head, new_session=opening) as journal:
        party = Party(desk.setting, desk.id_of(spec.agency), desk.signing_key())
        member = Member(party, journal, Vault(path.parent / desk.cohort.session), interval_text(spec.data_interval))
        try:
            with member.refusals(spec.label):
                if opening:
                    member.begin(spec.run_id, desk.cohort.not_after)
                folder = f"head/{spec.agency}"
                heads = desk.exchange.names(folder)
                member.resume([desk.exchange.get(name, MOST_MESSAGE_BYTES) for name in heads])
                yield desk, member
        except RoundBurnt as burnt:
            raise StageSkipped(str(burnt)) from burnt
        except FLError as error:
            error.journaled = True  # by `refusals`, while the journal was open
            raise


def accept_close(desk: Desk, member: Member) -> ClosedSet:
    """Accept the session's close at an agency; raises StageSkipped if the agency is not in the closed set."""
    list_data = desk.exchange.get(names.LIST)
    closed = member.close(
        list_data,
        desk.exchange.get(names.CLOSE),
        listed_keys(desk.exchange, desk.setting, list_data),
        by_id(desk.exchange, desk.roster, "setup/ready"),
    )
    if member.party.me not in closed.ids:
        raise StageSkipped(f"{desk.spec.agency} was lost while the session was set up")
    for round_ in range(1, 1 + (desk.spec.round or 0)):
        verdict = desk.exchange.find(names.burnt(round_))
        if verdict is not None:
            member.burnt(closed, round_, verdict)
    return closed


def training_seed(spec: StageSpec, purpose: str, *parts: bytes) -> bytes:
    """Return 32 bytes that are the same for the same agency, scenario, interval and parts, and nobody else's.

    Rounding bits and batch order come from here, so that a repeated task gives the same bytes. Never used for
    keys or for the noise of differential privacy.
    """
    path = training_secret_path(folder_of(spec))
    try:
        secret = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no training secret; run `fl agency init` first") from error
    fixed = canonical_json([spec.scenario, *interval_text(spec.data_interval)])
    return derive(secret, f"flsa/1/{purpose}".encode(), fixed, *parts)


def refusal_text(refused: dict[int, FLError], roster: Roster) -> str:
    """Say whose messages were refused and why, by agency and error code."""
    return "; ".join(f"{roster.names[i]}: {error.code}" for i, error in sorted(refused.items()))
