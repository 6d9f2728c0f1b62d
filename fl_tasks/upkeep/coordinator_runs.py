"""What runs left at the coordinator: in its own folder, in the exchange, and as reports."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.contracts.base import locked
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import CohortBody
from fl_tasks.contracts.stage import SURVEY_PREFIX
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.open import open_exchange
from fl_tasks.secagg import names
from fl_tasks.secagg.records import read_record
from fl_tasks.stages.champions import champions
from fl_tasks.stages.context import load_key, protocol_key_path
from fl_tasks.upkeep import retain
from fl_tasks.upkeep.retain import Leftover, Limits


def retain_coordinator(home: Home, limits: Limits, now: dt.datetime, *, dry_run: bool) -> list[Leftover]:
    """Remove what is old of the runs at the coordinator; return what went.

    Never touched: keys, admissions, rosters, the registry with every model that was champion, MLflow, and the report
    of a run whose model was promoted.

    Args:
        home: The installation; agencies' folders in it are not touched.
        limits: What stays in any case.
        now: The present.
        dry_run: Only return what would go.

    Raises:
        ConfigError: If there is no coordinator here.
        ProtocolError: If the chain of champions or a cohort is not as the coordinator signed it.
    """
    key = load_key(protocol_key_path(home.coordinator))
    with locked(home.coordinator / "retain.lock"):
        if not dry_run:
            for place in _places(home):
                retain.remove_interrupted(place)
        going = retain.old(coordinator_leftovers(home, key, now), limits, now)
        if not dry_run:
            retain.remove(path for one in going for path in one.paths)
        return going


def coordinator_leftovers(home: Home, key: Ed25519PrivateKey, now: dt.datetime) -> Iterator[Leftover]:
    """Find what runs left at the coordinator; a survey goes with the run that it prepared."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for place in _places(home):
        for path in retain.run_folders(place):
            found[path.name.removeprefix(SURVEY_PREFIX)].append(path)
    public = key.public_key().public_bytes_raw()
    scenarios = [path.name for path in retain.children(home.registry("any").parent)]
    promoted = {
        body.run_id
        for scenario in scenarios
        for body in champions(open_exchange(home, None, Space("registry", scenario)), public)
    }
    rostered = [path.name for path in retain.children(home.roster("any").parent)]
    for run_id, paths in found.items():
        over = _is_over(home, run_id, public, now)
        going = tuple(path for path in paths if not (run_id in promoted and path == home.report(run_id)))
        if going:
            yield Leftover(
                retain.kind_of(run_id, [*scenarios, *rostered]), run_id, retain.last_work(paths), over, going
            )


def _is_over(home: Home, run_id: str, public: bytes, now: dt.datetime) -> bool:
    """Say whether nothing can go on with a run: its sessions have ended, and no report waits for its verdict."""
    for name in (run_id, f"{SURVEY_PREFIX}{run_id}"):
        data = open_exchange(home, None, Space("runs", name)).find(names.COHORT)
        if data is not None and read_record(data, public, "cohort", CohortBody).not_after > now:
            return False
    verdict = home.coordinator_run(run_id) / "results" / "verdict.json"
    # Where the working folder went with an earlier call, what it left is still to go.
    waits = (home.report(run_id) / "report.json").exists() and home.coordinator_run(run_id).exists()
    return verdict.exists() or not waits


def _places(home: Home) -> tuple[Path, ...]:
    return home.coordinator_run("any").parent, _exchange(home), home.report("any").parent


def _exchange(home: Home) -> Path:
    return home.exchange("any").parent
