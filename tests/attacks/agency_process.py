"""One step of one party in a process of its own, which knows that party's folder and the exchange, nothing else.

    python -m tests.attacks.agency_process FOLDER EXCHANGE STEP SESSION [--round R] [--update FILE] [--interval A B]

It opens the member as the stages do, and ends as `python -m fl_tasks` does: 0, or the error's code and 10 or 1.
The folder `coordinator` does the coordinator's steps.

With `--serve` it reads such argument lists, one JSON line each, and forks a process for every one of them: a process
that has imported the code and done nothing yet starts in a hundredth of the time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.commands.common import exit_code_of
from fl_tasks.contracts.roster import Roster
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.secagg import coordinator, names
from fl_tasks.secagg.agency import Party
from fl_tasks.secagg.journal import open_journal
from fl_tasks.secagg.member import Member, Outbox
from fl_tasks.secagg.quantize import encode_update
from fl_tasks.secagg.session import ClosedSet, Setting, check_close
from fl_tasks.secagg.vault import Vault

NOT_AFTER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


class Desk:
    """What lies in the exchange, as the party reads it."""

    def __init__(self, setting: Setting, exchange: FolderExchange, options: argparse.Namespace) -> None:
        self.setting, self.exchange, self.options = setting, exchange, options
        self.round: int = options.round

    def by_id(self, folder: str) -> dict[int, bytes]:
        found = ((i, self.exchange.find(f"{folder}/{name}")) for i, name in enumerate(self.setting.roster.names))
        return {i: data for i, data in found if data is not None}

    def listed(self) -> tuple[bytes, dict[int, bytes]]:
        """The list, and the S1 of everyone on it."""
        data = self.exchange.get(names.LIST)
        entries = self.setting.read_list(data).entries
        return data, {i: self.exchange.get(names.keys(self.setting.roster.names[i])) for i, _ in entries}

    def close(self, member: Member) -> ClosedSet:
        data, files = self.listed()
        return member.close(data, self.exchange.get(names.CLOSE), files, self.by_id("setup/ready"))

    def shares_for(self, me: int) -> dict[int, bytes]:
        roster = self.setting.roster.names
        found = ((i, self.exchange.find(names.shares(dealer, roster[me]))) for i, dealer in enumerate(roster))
        return {i: data for i, data in found if data is not None}

    def update(self, _model: bytes) -> np.ndarray:
        """A ring vector as it is, or a delta with weight and losses, to be encoded."""
        with np.load(self.options.update) as file:
            if "ring" in file:
                return file["ring"]
            losses = (float(file["loss"]), 0.0)
            secagg = self.setting.roster.secagg
            return encode_update(file["delta"], int(file["examples"]), losses, self.setting.n, secagg, bytes(32))


def _upload(desk: Desk, member: Member) -> Outbox:
    model = desk.exchange.get(names.model(desk.round))
    return member.upload(desk.close(member), desk.round, model, desk.update)


def _ack(desk: Desk, member: Member) -> Outbox:
    return member.ack(desk.close(member), desk.round, desk.exchange.get(names.manifest(desk.round)))


def _reveal(desk: Desk, member: Member) -> Outbox:
    manifest = desk.exchange.get(names.manifest(desk.round))
    return member.reveal(desk.close(member), desk.round, manifest, desk.by_id(f"r/{desk.round}/ack"))


def _burnt(desk: Desk, member: Member) -> Outbox:
    member.burnt(desk.close(member), desk.round, desk.exchange.get(names.burnt(desk.round)))
    return {}


def _close(desk: Desk, member: Member) -> Outbox:
    desk.close(member)
    return {}


AGENCY_STEPS = {
    "start": lambda desk, member: {},
    "keys": lambda desk, member: member.keys(),
    "shares": lambda desk, member: member.shares(*desk.listed()),
    "ready": lambda desk, member: member.ready(*desk.listed(), desk.shares_for(member.party.me)),
    "close": _close,
    "upload": _upload,
    "ack": _ack,
    "reveal": _reveal,
    "burnt": _burnt,
}


def do_agency_step(folder: Path, step: str, desk: Desk) -> None:
    """As stages.context.open_member: journal locked, refusals journaled, posted heads checked."""
    opening = desk.setting.session.hex() if step == "keys" else None
    with open_journal(folder / "journal.jsonl", folder / "head" / "head.json", new_session=opening) as journal:
        me = desk.setting.roster.names.index(folder.joinpath("name").read_text())
        key = Ed25519PrivateKey.from_private_bytes(folder.joinpath("protocol.key").read_bytes())
        vault = Vault(folder / desk.setting.session.hex())
        member = Member(Party(desk.setting, me, key), journal, vault, tuple(desk.options.interval))
        label = step if desk.round is None else f"{step}-{desk.round}"
        with member.refusals(label):
            if opening:
                member.begin("run", NOT_AFTER)
            own = desk.setting.roster.names[me]
            member.resume([desk.exchange.get(name) for name in desk.exchange.names(f"head/{own}")])
            for name, data in AGENCY_STEPS[step](desk, member).items():
                desk.exchange.put(name, data)


def do_coordinator_step(folder: Path, step: str, desk: Desk) -> None:
    key = Ed25519PrivateKey.from_private_bytes(folder.joinpath("protocol.key").read_bytes())
    data, files = desk.listed()
    readies = desk.by_id("setup/ready")
    if step == "close":
        made, refused = coordinator.make_close(desk.setting, key, data, files, readies)
        desk.exchange.put(names.CLOSE, made)
    else:
        closed = check_close(desk.setting, data, desk.exchange.get(names.CLOSE), files, readies)
        uploads, length = desk.by_id(f"r/{desk.round}/up"), desk.options.length
        if step == "manifest":
            header = closed.header(desk.round, bytes([desk.round]) * 32)
            verdict = coordinator.make_manifest(closed, key, header, uploads, length)
            refused = verdict.refused
            desk.exchange.put(names.burnt(desk.round) if verdict.burnt else names.manifest(desk.round), verdict.data)
        else:
            manifest = desk.exchange.get(names.manifest(desk.round))
            reveals = desk.by_id(f"r/{desk.round}/reveal")
            _, refused = coordinator.open_sum(closed, desk.round, manifest, uploads, reveals, length)
    for member, error in refused.items():
        print(f"left out: {member} {error.code}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("exchange", type=Path)
    parser.add_argument("step")
    parser.add_argument("session", type=bytes.fromhex)
    parser.add_argument("--round", type=int)
    parser.add_argument("--length", type=int)
    parser.add_argument("--update", type=Path)
    parser.add_argument("--interval", nargs=2)
    options = parser.parse_args(arguments)
    roster = Roster.model_validate_json(options.folder.joinpath("roster.json").read_bytes())
    desk = Desk(Setting(roster, options.session), FolderExchange(options.exchange), options)
    do = do_coordinator_step if options.folder.name == "coordinator" else do_agency_step
    return exit_code_of(lambda: do(options.folder, options.step, desk))


def serve() -> None:
    """Answer each line of arguments and two output files with the exit code of a forked process; 1 if it crashed."""
    for line in sys.stdin:
        arguments, out, err = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with Path(out).open("w") as o, Path(err).open("w") as e, redirect_stdout(o), redirect_stderr(e):
                    code = main(arguments)
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        sys.exit(main(sys.argv[1:]))
