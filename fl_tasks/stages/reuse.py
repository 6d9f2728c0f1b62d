"""Takes a data stage's files from an earlier run of the agency where everything that the stage reads is the same.

Proven by content: a key over all that the stage reads (digests of its files; code, libraries and time zones; what the
scenario, the agency and its policy declare) finds a record in prepared/<scenario>/ of the agency's folder, which names
the earlier run and the hash of each file. Every file is hashed again before it is taken. Whatever is not as it should
be there, the stage works: nothing depends on the records, and removing that folder makes every stage work anew.

A stage that can be skipped says in `reads(spec)` what it reads; one without that always works.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import shutil
import stat
import tempfile
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pydantic import Field, JsonValue

from fl_tasks.contracts.base import (
    Contract,
    RunId,
    Sha256,
    canonical_json,
    fsync_folder,
    make_private_folder,
    sha256_file,
    sha256_hex,
    write_atomic,
)
from fl_tasks.contracts.config import load_scenario, load_source
from fl_tasks.contracts.data import prepared_path
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.stage import DatasetRef, StageResult, StageSpec
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.data.source_files import deliveries
from fl_tasks.stages.context import StageSkipped
from fl_tasks.stages.installed_code import CodeApproval, approval_path
from fl_tasks.stages.policy import open_gate

log = logging.getLogger(__name__)

MOST_RECORDS = 100
"""Records kept for each scenario and stage; beyond it the oldest go."""

# Of a scenario's YAML what no data stage before validate reads: a run with another learning rate has the same rows.
_UNREAD = dict.fromkeys(("title", "rounds", "tasks", "secagg", "learning", "gate", "drift", "notify"), True)
_UNREAD_OF_SCHEDULE = {"cron": True, "start_date": True, "catchup": True, "max_active_runs": True}
_TAKEN = ".taken."  # begins the name of the folder in which files wait until all of them are there
# What makes the files, beside the code: another version may write other bytes.
_LIBRARIES = ("numpy", "pyarrow", "pandas", "pydantic", "PyYAML", "tzdata")
# What a stage's own reading may raise: then the stage works, and raises what it has to say itself.
_UNREADABLE = (FLError, StageSkipped, OSError, ValueError)


def _nothing(_: Path) -> JsonValue:
    return None


@dataclass(frozen=True)
class Reads:
    """What the files of a data stage follow from, beside code and configuration.

    Attributes:
        inputs: What was read, as JSON: digests of files, the span of days, and the like.
        leaves: Files of the run's folder that the stage makes or removes; the last is the record of the others.
        outcome: Given a folder that holds the files, what they follow from beside that, which only they tell; and
            raises where they do not fit each other.
    """

    inputs: Mapping[str, JsonValue]
    leaves: tuple[Path, ...]
    outcome: Callable[[Path], JsonValue] = _nothing


class StageRecord(Contract):
    """One data stage of one run, for later runs; prepared/<scenario>/<stage>.<key>.json in the agency's folder."""

    key: Sha256 = Field(description="Over all that the stage read.")
    run_id: RunId = Field(description="Whose folder holds the files.")
    files: dict[str, Sha256 | None] = Field(description="Name in the run's folder -> its hash; none: not left there.")
    outcome: Sha256 = Field(description="Over what only the files tell of their inputs.")
    result: StageResult = Field(description="As the stage gave it to that run.")


@dataclass(frozen=True)
class _Look:
    """What a stage would read now.

    Attributes:
        basis: Of everything but its inputs.
        reads: Its inputs.
    """

    basis: str
    reads: Reads

    @property
    def key(self) -> str:
        return sha256_hex(canonical_json([self.basis, dict(self.reads.inputs)]))

    def outcome(self, folder: Path) -> str:
        return sha256_hex(canonical_json(self.reads.outcome(folder)))


def records_folder(agency_folder: Path, scenario: str) -> Path:
    """Where an agency keeps the records of a scenario's data stages."""
    return agency_folder / "prepared" / scenario


def run(spec: StageSpec, stage: ModuleType) -> StageResult:
    """Do a data stage, or take its files from an earlier run; once the run's examples are frozen, always the stage.

    Args:
        spec: Of the stage.
        stage: Its module.

    Raises:
        FLError: As the stage does.
    """
    before = None if prepared_path(spec.folder).exists() else _look(spec, stage)
    if before is None:
        result: StageResult = stage.run(spec)
        return result
    taken = _take(spec, before)
    if taken is not None:
        return taken
    result = stage.run(spec)
    if result.status == "done":
        with suppress(*_UNREADABLE):
            key, outcome = before.key, before.outcome(spec.folder)
            # A delivery that came meanwhile was read by one of the two only.
            reads: Reads | None = stage.reads(spec)
            after = None if reads is None else _Look(before.basis, reads)
            if after is not None and (after.key, after.outcome(spec.folder)) == (key, outcome):
                files = digests(before.reads.leaves)
                _remember(spec, StageRecord(key=key, run_id=spec.run_id, files=files, outcome=outcome, result=result))
    return result


def source_digests(source: SourceConfig | TableSource, folder: Path) -> list[JsonValue] | None:
    """Return name and SHA-256 of each file of a source, in the order of reading; None of one that is no file.

    Args:
        source: The declaration.
        folder: The agency's folder.

    Raises:
        InputError: If there is no such file.
    """
    if source.path is None:
        return None  # what a database holds is known only once it was read
    files = [path for path, _ in deliveries(folder / source.path, source.where)]
    if not all(path.is_file() for path in files):
        return None
    return [[path.name, sha256_file(path)] for path in files]


def digests(paths: Iterable[Path]) -> dict[str, str | None]:
    """Return name -> SHA-256 of files, None where there is none."""
    return {path.name: sha256_file(path) if path.exists() else None for path in paths}


def _look(spec: StageSpec, stage: ModuleType) -> _Look | None:
    """Return what the stage reads now; None if it cannot be said, or the stage is always done."""
    if not hasattr(stage, "reads"):
        return None
    try:
        reads: Reads | None = stage.reads(spec)
        return None if reads is None else _Look(_basis(spec), reads)
    except _UNREADABLE:
        return None


def _basis(spec: StageSpec) -> str:
    """Return the hash of what a stage of this code does in this configuration; within a stage's process it is fixed."""
    scenario = load_scenario(spec.federation, spec.scenario)
    source = load_source(spec.federation, spec.agency, spec.scenario)
    zones = {scenario.schedule.timezone}
    if isinstance(source, SourceConfig) and source.time.timezone is not None:
        zones.add(source.time.timezone)
    # Admission has just held the installation against this approval.
    approval = CodeApproval.model_validate_json(approval_path(spec.places.agency(str(spec.agency))).read_bytes())
    record: dict[str, JsonValue] = {
        "record": "huiliu/prepared/1",
        "stage": spec.stage,
        "kind": scenario.data.kind,
        "agency": spec.agency,
        "code": approval.sha256,
        "libraries": [platform.python_version(), *map(_version, _LIBRARIES)],
        "zones": {zone: _zone(zone) for zone in zones},
        # As text: a limit may be infinite, which canonical JSON refuses.
        "scenario": scenario.model_dump_json(exclude={**_UNREAD, "schedule": _UNREAD_OF_SCHEDULE}),
        "source": source.model_dump_json(),
        "policy": open_gate(spec).policy.model_dump_json(),
    }
    return sha256_hex(canonical_json(record))


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _zone(name: str) -> str | None:
    """Return the hash of the system's rules of a time zone; None where those of the package tzdata are used."""
    files = (Path(folder) / name for folder in zoneinfo.TZPATH)
    return next((sha256_file(path) for path in files if path.is_file()), None)


def _record_path(spec: StageSpec, key: str) -> Path:
    return records_folder(spec.places.agency(str(spec.agency)), spec.scenario) / f"{spec.stage}.{key}.json"


def _take(spec: StageSpec, look: _Look) -> StageResult | None:
    """Put an earlier run's files into this run's folder and return their result; None if the stage has to work."""
    path = _record_path(spec, look.key)
    try:
        found = StageRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        log.warning("stage=%s agency=%s record=damaged: working anew", spec.stage, spec.agency)
        return None
    earlier = spec.places.agency_run(str(spec.agency), found.run_id)
    leaves = {leaf.name: leaf for leaf in look.reads.leaves}
    if not earlier.is_dir() or found.key != look.key or found.files.keys() != leaves.keys():
        return None
    make_private_folder(spec.folder)
    for left in spec.folder.glob(f"{_TAKEN}*"):  # by a stage that was killed here: names of rows that nobody looks for
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=spec.folder, prefix=_TAKEN) as name:
        staged = Path(name)
        for leaf, sha256 in found.files.items():
            # Hashed where it lies now: what is exchanged there after that is another file.
            if sha256 is not None and not _same(earlier / leaf, staged / leaf, sha256):
                log.warning(
                    "stage=%s agency=%s file=%s is not what run %s left: working anew",
                    *(spec.stage, spec.agency, leaf, found.run_id),
                )
                return None
        if not _still_follows(look, staged, found):
            return None
        for leaf, target in leaves.items():
            if found.files[leaf] is None:
                target.unlink(missing_ok=True)
            else:
                os.replace(staged / leaf, target)  # of two names of one file it does nothing, which is as good
    fsync_folder(spec.folder)
    _remember(spec, found.model_copy(update={"run_id": spec.run_id, "result": _renamed(found, spec.run_id)}))
    log.info("stage=%s agency=%s reused from=%s", spec.stage, spec.agency, found.run_id)
    result = _renamed(found, spec.run_id)
    reason = f"reused: all that it reads is as in {found.run_id}"
    return result.model_copy(update={"reason": "; ".join(filter(None, (reason, result.reason)))[:500]})


def _same(source: Path, target: Path, sha256: str) -> bool:
    """Link a file, or copy it where that cannot be, and say whether it is the one that was recorded.

    A link is safe: whoever writes a run's file puts a new one in its place.
    """
    try:
        mode = source.lstat().st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            return False
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            _copy(source, target)
        return sha256_file(target) == sha256
    except OSError:
        return False


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target, follow_symlinks=False)
    target.chmod(0o600)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _still_follows(look: _Look, folder: Path, found: StageRecord) -> bool:
    try:
        return look.outcome(folder) == found.outcome
    except _UNREADABLE:
        return False


def _renamed(found: StageRecord, run_id: str) -> StageResult:
    """Return an earlier run's result as that of another one: its files are named by the run's folder."""

    def named(ref: DatasetRef) -> DatasetRef:
        rest = ref.name.removeprefix(f"runs/{found.run_id}/")
        return ref if rest == ref.name else ref.model_copy(update={"name": f"runs/{run_id}/{rest}"})

    parts = ("inputs", "outputs")
    return found.result.model_copy(update={part: tuple(map(named, getattr(found.result, part))) for part in parts})


def _remember(spec: StageSpec, record: StageRecord) -> None:
    """Keep a record for later runs, in place of one with the same key, and drop the oldest beyond MOST_RECORDS.

    The run needs none: where it cannot be written, later ones work.
    """
    path = _record_path(spec, record.key)
    try:
        write_atomic(path, record.model_dump_json(indent=1).encode())
    except OSError as error:
        log.warning("stage=%s agency=%s record=not written: errno %s", spec.stage, spec.agency, error.errno)
        return
    records = []
    for other in path.parent.glob(f"{spec.stage}.*.json"):
        with suppress(FileNotFoundError):  # another run drops them too
            records.append((other.stat().st_mtime_ns, other))
    for _, other in sorted(records)[:-MOST_RECORDS]:
        other.unlink(missing_ok=True)
