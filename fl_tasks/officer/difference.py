"""How the code of a plan differs from what an officer approved last, as text that is safe on a terminal."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fl_tasks.approvals.delivery import hashes
from fl_tasks.approvals.errors import JobAltered
from fl_tasks.approvals.places import job_folders
from fl_tasks.approvals.pysyft import job_files
from fl_tasks.contracts.plan import Plan
from fl_tasks.officer.desk import Desk
from fl_tasks.officer.ledger import Ledger

_CODE = "code/"
_NO_CODE = ("main.py", "plan.json")  # the same for all jobs, and shown by itself


@dataclass(frozen=True)
class Approved:
    """A plan that was approved before, and its code, which is still what the decision was on."""

    plan: Plan
    files: Mapping[str, bytes]


def last_approved(desk: Desk, ledger: Ledger, plan: Plan) -> Approved | None:
    """Return the newest approved plan beside this one: of the same scenario, or else of another.

    One that was taken back, or whose job was altered since, is passed over: a difference from it would say nothing.
    """
    own = f"{plan.terms.scenario}__"
    for decision in sorted(ledger.decisions, key=lambda made: (made.run_id.startswith(own), made.at), reverse=True):
        taken_back = decision.id in ledger.revoked or decision.verdict == "rejected"
        if taken_back or decision.run_id == plan.run_id:
            continue
        inbox, _ = job_folders(desk.folder, desk.agency, decision.job)
        try:
            if job_files(inbox) != decision.files:
                continue
        except JobAltered:
            continue
        names = [name.removeprefix(_CODE) for name in decision.files if name.startswith(_CODE)]
        files = {name: (inbox / _CODE / name).read_bytes() for name in names if name not in _NO_CODE}
        return Approved(Plan.model_validate_json((inbox / _CODE / "plan.json").read_bytes()), files)
    return None


def visible(text: str) -> str:
    """Return text in which nothing can move a cursor, hide a line or turn the reading direction."""
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in text)


def difference(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> list[str]:
    """Return a unified diff of all files, line by line."""
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return [line for name in changed for line in _of_one(name, before.get(name), now.get(name))]


def changes(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> str:
    """Return in a line how many files are new, gone and changed."""
    changed = sum(before[name] != now[name] for name in before.keys() & now.keys())
    return (
        f"{len(now.keys() - before.keys())} files new, {len(before.keys() - now.keys())} gone, {changed} changed, "
        f"{len(before.keys() & now.keys()) - changed} the same"
    )


def counts(files: Mapping[str, bytes]) -> Iterator[str]:
    """Return for each package how many files, lines and bytes it has."""
    names, lines, sizes = Counter[str](), Counter[str](), Counter[str]()
    for name, data in files.items():
        package = name.split("/")[0]
        names[package] += 1
        lines[package] += data.count(b"\n")
        sizes[package] += len(data)
    return (f"{p}: {names[p]} files, {lines[p]} lines, {sizes[p]} bytes" for p in sorted(names))


def file_list(files: Mapping[str, bytes]) -> list[str]:
    """Return a line for each file: its SHA-256 and its name."""
    return [f"{sha256}  {visible(name)}" for name, sha256 in sorted(hashes(files).items())]


def _of_one(name: str, before: bytes | None, now: bytes | None) -> Iterator[str]:
    yield from (f"# new file {visible(name)}",) if before is None else ()
    yield from (f"# file {visible(name)} is gone",) if now is None else ()
    try:
        old, new = ((data or b"").decode("utf-8").split("\n") for data in (before, now))
    except UnicodeDecodeError:
        yield f"# {visible(name)} is no text, and differs"
        return
    for line in difflib.unified_diff(old, new, f"approved/{name}", f"plan/{name}", lineterm=""):
        yield visible(line)


def write_text(folder: Path, name: str, lines: list[str]) -> Path:
    """Write what is too long for a screen into a file of the officer, and return its path."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path
