"""Whom an agency takes for its data officer: the card that its operator pins, and what the officer has to be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from fl_tasks.approvals.check import read_card
from fl_tasks.approvals.errors import ApprovalRefused
from fl_tasks.approvals.places import card_path
from fl_tasks.contracts.base import describe, write_atomic
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.plan import OfficerCard
from fl_tasks.stages.context import load_roster


def pin_officer(home: Home, agency: str, card: Path) -> OfficerCard:
    """Pin an officer's card: from now on decisions signed with its key count, and no others.

    Args:
        home: The installation.
        agency: Whose officer it is.
        card: The file that the officer handed over.

    Raises:
        ConfigError: If the agency is not here, or the file is no officer's card.
        OfficerUnknown: If it is another agency's, or the daemon cannot see the officer's folder.
        OfficerNotApart: If officer and daemon are one OS user, and it is no trial.
    """
    folder = home.agency(agency)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such agency here; run `fl agency init` first")
    try:
        made = OfficerCard.model_validate_json(card.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{card}: there is no such file; `fl officer init` says where it wrote the card") from error
    except ValidationError as error:
        raise ConfigError(f"{card}: is no officer's card: {describe(error)}; ask the officer for it again") from error
    path = card_path(folder)
    before = path.read_bytes() if path.exists() else None
    write_atomic(path, made.model_dump_json(indent=1).encode())
    try:
        return read_card(folder, agency)
    except ApprovalRefused:
        # What is refused is not kept; until here it opened nothing.
        if before is None:
            path.unlink()
        else:
            write_atomic(path, before)
        raise


def pinned_officer(home: Home, agency: str) -> OfficerCard | None:
    """Return the card that is pinned, or None; raises as pin_officer if it does not fit what is there now."""
    folder = home.agency(agency)
    return read_card(folder, agency) if card_path(folder).exists() else None


def coordinator_keys(home: Home, agency: str) -> dict[str, str]:
    """Return scenario -> the coordinator's public key, of every roster that the agency approved."""
    folder = home.agency(agency)
    scenarios = sorted(path.stem for path in (folder / "approved").glob("*.json") if path.stem != "code")
    return {scenario: load_roster(folder, scenario).coordinator_key for scenario in scenarios}
