"""What an agency remembers of the last run whose data passed: to tell changed months from known ones, and drift."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from fl_tasks.contracts.base import describe, write_atomic
from fl_tasks.contracts.data import Accepted
from fl_tasks.contracts.errors import ConfigError


def load_accepted(path: Path) -> Accepted | None:
    """Return the record at accepted_path(...), or None before the first accepted run.

    Raises:
        ConfigError: If the file is damaged.
    """
    try:
        return Accepted.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ConfigError(
            f"accepted/{path.name}: {describe(error)}; remove the file, and the next accepted run writes it anew"
        ) from error


def save_accepted(path: Path, accepted: Accepted) -> bool:
    """Remember a run whose data passed, unless a later interval is remembered: a backfill changes nothing.

    Returns:
        Whether it is remembered now.
    """
    known = load_accepted(path)
    if known is not None and known.interval_end > accepted.interval_end:
        return False
    write_atomic(path, accepted.model_dump_json(indent=1).encode())
    return True


def changed_months(months: dict[str, str], known: Accepted | None) -> tuple[str, ...]:
    """Return the months, in order, whose rows are others than in the last accepted run; both must hold the month."""
    if known is None:
        return ()
    return tuple(month for month, digest in sorted(months.items()) if known.months.get(month, digest) != digest)
