"""Runs beside PySyft, in its environment: an officer's and a submitter's deeds with PySyft's own client, as JSON.

python datasite.py SYFTBOX < [["submit", ...], ["approve", ...]]  ->  what PySyft's client then says of each job
"""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from pathlib import Path


def watch(event: str, arguments: tuple) -> None:
    """Nothing that PySyft does here may open a socket or start a program."""
    if event.startswith("socket.") or event in (
        "subprocess.Popen",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
        "os.system",
    ):
        raise RuntimeError(f"PySyft: {event}{arguments}")


sys.addaudithook(watch)

from syft_job import JobClient, SyftJobConfig  # noqa: E402 - under watch from its import on


def client(syftbox: str, who: str) -> JobClient:
    return JobClient.from_config(SyftJobConfig.from_syftbox_folder(syftbox, who))


def main() -> None:
    syftbox = sys.argv[1]
    Path(syftbox).mkdir(exist_ok=True)
    told = {}
    for deed, owner, submitter, name, *rest in json.load(sys.stdin):
        # PySyft prints for people, and warns that it does not know where the owner installs PySyft from.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if deed == "submit":
                client(syftbox, submitter).submit_python_job(owner, rest[0], name)
            job = client(syftbox, owner).jobs[name]
            if deed == "approve":
                job.approve(approval_method=rest[0])
            elif deed == "reject":
                job.reject()
            elif deed == "deposit":
                job.accept_by_depositing_result(rest[0])
            told[name] = json.loads(client(syftbox, owner).jobs[name]._state.model_dump_json())
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
