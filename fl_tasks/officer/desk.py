"""The officer's own folder, which another OS user than the daemon's owns, and the plans that lie before the officer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, ValidationError

from fl_tasks.approvals.delivery import Delivery, read_delivery
from fl_tasks.approvals.errors import DeliveryAltered, OfficerNotApart
from fl_tasks.approvals.places import delivery_folder, key_path
from fl_tasks.contracts.base import RUN_ID, Contract, PublicKey, describe, locked, write_atomic
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.plan import OfficerCard
from fl_tasks.officer.pysyft import Datasite
from fl_tasks.stages.context import load_key
from fl_tasks.stages.enrol import make_key

_READABLE = 0o022  # umask
_PASSABLE = 0o711  # the daemon reaches records and PySyft's files through it


class Pins(Contract):
    """What an officer holds fast to: pins.json in the officer's folder."""

    agency: str
    coordinator_key: PublicKey = Field(description="Whose signature a plan has to bear.")


@dataclass(frozen=True)
class Desk:
    """One officer at work.

    Attributes:
        home: The agency's installation, of which only the deliveries are read.
        folder: The officer's own.
        card: What the agency's operator pins.
        coordinator_key: 32 bytes.
    """

    home: Home
    folder: Path
    card: OfficerCard
    coordinator_key: bytes

    @property
    def agency(self) -> str:
        """Whose data the officer answers for."""
        return self.card.agency

    @property
    def public_key(self) -> bytes:
        """The officer's, 32 bytes."""
        return bytes.fromhex(self.card.public_key)

    @property
    def datasite(self) -> Datasite:
        """The agency as PySyft sees it."""
        return Datasite(self.folder, self.agency)

    def key(self) -> Ed25519PrivateKey:
        """The officer's private key."""
        return load_key(key_path(self.folder))

    def runs(self) -> list[str]:
        """Return the runs whose plans are laid out, by name."""
        folder = delivery_folder(self.home, self.agency, "any").parent
        # The daemon's user makes these folders: a name that is no run's could hide a line on the officer's terminal.
        return sorted(path.name for path in folder.glob("*") if RUN_ID.fullmatch(path.name))

    def delivery(self, run_id: str) -> Delivery:
        """Read and verify the plan and the code of a run; raises DeliveryMissing and DeliveryAltered."""
        found = read_delivery(delivery_folder(self.home, self.agency, run_id), self.coordinator_key)
        told = (found.plan.terms.agency, found.plan.run_id)
        if told != (self.agency, run_id):
            raise DeliveryAltered(
                f"{run_id}: the plan that lies there is of run {told[1]} for {told[0]}, needed is one for "
                f"{self.agency}; ask the agency's operator who moved it"
            )
        return found

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold all other commands of this officer off; what is written within can be read by the daemon's user."""
        with locked(self.folder / "lock"):
            before = os.umask(_READABLE)
            try:
                yield
            finally:
                os.umask(before)


def card_file(folder: Path) -> Path:
    """The officer's card as it is handed to the agency's operator."""
    return folder / "card.json"


def init_officer(home: Home, agency: str, folder: Path, coordinator_key: str, *, trial: bool) -> OfficerCard:
    """Make an officer's folder, key and card. A key that is there stays; the coordinator's key is replaced.

    Args:
        home: The agency's installation.
        agency: Whose data the officer answers for.
        folder: The officer's own, absolute.
        coordinator_key: 64 hexadecimal digits, as the agency's operator told them.
        trial: Whether officer and daemon may be one OS user; the card says so.

    Raises:
        ConfigError: If there is no such agency here, the folder is another agency's, or the key is none.
        OfficerNotApart: If the daemon's user could read or replace the officer's key, and it is no trial.
    """
    try:
        pins = Pins(agency=agency, coordinator_key=coordinator_key)
    except ValidationError as error:
        raise ConfigError(
            f"the coordinator's key: {describe(error)}; `fl agency officer --agency {agency}` says it"
        ) from error
    daemon = _owner(home.agency(agency))
    if not trial:
        _keep_apart(folder, daemon)
    if card_file(folder).exists() and (before := open_desk(home, folder)).agency != agency:
        raise ConfigError(f"{folder}: is the folder of an officer of {before.agency}; take another for {agency}")
    folder.mkdir(mode=_PASSABLE, parents=True, exist_ok=True)
    folder.chmod(_PASSABLE)
    key_file = key_path(folder)
    key = make_key(key_file)
    if key_file.stat().st_mode & 0o077:
        raise OfficerNotApart(f"{key_file}: others may read it: chmod 0600, on a file system that keeps modes")
    public = key.public_key().public_bytes_raw()
    card = OfficerCard(
        agency=agency, public_key=public.hex(), folder=str(folder.resolve()), user=os.geteuid(), trial=trial
    )
    write_atomic(_pins_file(folder), pins.model_dump_json(indent=1).encode())
    write_atomic(card_file(folder), card.model_dump_json(indent=1).encode(), mode=0o644)
    return card


def open_desk(home: Home, folder: Path) -> Desk:
    """Open an officer's folder.

    Raises:
        ConfigError: If there is no officer in it, or a file is damaged.
        OfficerNotApart: If another OS user than the officer asks, whose files the daemon would refuse.
    """
    try:
        card = OfficerCard.model_validate_json(card_file(folder).read_bytes())
        pins = Pins.model_validate_json(_pins_file(folder).read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{folder}: there is no officer's key; run `fl officer init` first, or name --folder"
        ) from error
    except ValidationError as error:
        raise ConfigError(
            f"{folder}: card.json or pins.json: {describe(error)}; run `fl officer init` again"
        ) from error
    if os.geteuid() != card.user:
        raise OfficerNotApart(
            f"{folder}: belongs to the officer, user {card.user}; this is user {os.geteuid()}, whose files the daemon "
            "would refuse: run it as the officer"
        )
    return Desk(home, folder, card, bytes.fromhex(pins.coordinator_key))


def _pins_file(folder: Path) -> Path:
    return folder / "pins.json"


def _owner(folder: Path) -> int:
    try:
        return folder.stat().st_uid
    except FileNotFoundError as error:
        raise ConfigError(f"{folder}: there is no such agency here; set HUILIU_HOME to the agency's home") from error
    except PermissionError as error:
        raise ConfigError(
            f"{folder}: the officer cannot pass the folders above it; the agency's operator has to `chmod 0711` them"
        ) from error


def _keep_apart(folder: Path, daemon: int) -> None:
    """Refuse a place or a user that the agency's daemon has power over."""
    reason = None
    if daemon == os.geteuid():
        reason = f"this is user {daemon}, who owns the agency's folder and runs its daemon"
    elif daemon == 0:
        reason = "the agency's folder is root's, who can read every key"
    else:
        owners = {place: place.stat().st_uid for place in (folder, *folder.parents) if place.exists()}
        for place, owner in owners.items():
            if owner == daemon:
                reason = f"{place} is the daemon's, user {daemon}, who could replace what lies below it"
    if reason is not None:
        raise OfficerNotApart(
            f"{reason}: the officer needs an OS user and a folder that the daemon has no power over; on one machine, "
            "for a trial only, --trial goes on, and the card says so"
        )
