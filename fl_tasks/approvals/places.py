"""Where plans, an officer's records and PySyft's files lie.

<home>/deliveries/<agency>/<run id>/{plan,code.tar.xz}      written once by the agency, read by the officer
<home>/agencies/<agency>/officer.json                       the officer's card, pinned by the agency's operator
<officer>/officer.key                                       mode 0600
<officer>/records/{decisions,standing,revoked}/<id>.json    signed; the daemon reads them
<officer>/syftbox/<identity>/...                            PySyft's datasite
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fl_tasks.contracts.paths import Home

RecordKind = Literal["decisions", "standing", "revoked"]

COORDINATOR = "coordinator@huiliu.invalid"
"""Whom PySyft names as the one who hands in a job. The domain can never exist (RFC 2606), so nobody is written to."""


def identity(agency: str) -> str:
    """The name under which PySyft knows an agency's datasite."""
    return f"{agency}@agency.invalid"


def delivery_folder(home: Home, agency: str, run_id: str) -> Path:
    """Where a plan that arrived is laid for the officer; readable by others, since nothing in it is secret."""
    return home.root / "deliveries" / agency / run_id


def card_path(folder: Path) -> Path:
    """Where an agency keeps the card of its officer; the folder is the agency's own."""
    return folder / "officer.json"


def key_path(officer: Path) -> Path:
    """The officer's private key."""
    return officer / "officer.key"


def record_path(officer: Path, kind: RecordKind, id_: str) -> Path:
    """Where a signed record of the officer lies."""
    return officer / "records" / kind / f"{id_}.json"


def syftbox(officer: Path) -> Path:
    """PySyft's folder, with one datasite below it."""
    return officer / "syftbox"


def job_folders(officer: Path, agency: str, run_id: str) -> tuple[Path, Path]:
    """Where PySyft (job protocol 1) keeps a plan's job, which has the run's name: its files, and what became of it."""
    jobs = syftbox(officer) / identity(agency) / "app_data" / "job"
    inbox, review = (jobs / part / COORDINATOR / "v1" / run_id for part in ("inbox", "review"))
    return inbox, review
