"""`fl serve`, `fl agency serve`, `fl coordinator serve`: daemons that run stages."""

from __future__ import annotations

import argparse
import os
import pwd
from pathlib import Path

from fl_tasks.commands.common import Commands, command, exit_code_of, federation, home
from fl_tasks.contracts.errors import ConfigError, FLError

_IDLE_SECONDS = 600.0
_BUNDLE = "dags-folder"  # what Airflow calls the folder of its option dags_folder


def add_to(commands: Commands, agency: Commands, coordinator: Commands) -> None:
    """Add the command to each group of commands."""
    serve = [
        command(commands, "serve", "Run the stages of all parties of this installation, ready at once.", _serve),
        command(agency, "serve", "Run an agency's stages, ready at once.", _serve),
        command(coordinator, "serve", "Run the coordinator's stages, ready at once.", _serve),
    ]
    for made, kind in zip(serve, ("all", "agency", "coordinator"), strict=True):
        made.set_defaults(kind=kind, agency=None, bundle=None, socket_folder=None, worker_user=None)
        made.add_argument(
            "--idle",
            type=float,
            metavar="SECONDS",
            help=f"end after so long without work (default {_IDLE_SECONDS:.0f}; with --socket-folder never)",
        )
        made.add_argument("--memory-mib", type=int, default=8192, help="most memory of one stage or learning worker")
        made.add_argument("--owner", type=int, metavar="PID", help="end with this process")
    serve[1].add_argument("--agency", required=True)
    serve[1].add_argument("--bundle", default=_BUNDLE, help=f"the worker's one DAG bundle (default {_BUNDLE})")
    serve[1].add_argument(
        "--socket-folder", type=Path, metavar="DIR", help="listen there, for the worker's user too; a folder of its own"
    )
    serve[1].add_argument(
        "--worker-user",
        metavar="USER",
        help="name or number of the user that the agency's Airflow worker runs as; DIR gets that user's group",
    )


def _serve(options: argparse.Namespace) -> None:
    """Serve the stages of one party, or of all that this installation has."""
    # Before anything is imported ahead: libraries read these when they load. A fork wants no threads of theirs.
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    if (options.socket_folder is None) != (options.worker_user is None):
        raise ConfigError("fl agency serve: --socket-folder and --worker-user belong together: who may ask, and where")

    from setproctitle import setproctitle  # noqa: PLC0415

    from fl_tasks.contracts.stage import write_spec  # noqa: PLC0415
    from fl_tasks.daemon.errands import TellDecisions  # noqa: PLC0415
    from fl_tasks.daemon.party import Party  # noqa: PLC0415
    from fl_tasks.daemon.server import Daemon, Done  # noqa: PLC0415
    from fl_tasks.daemon.workers import Workers  # noqa: PLC0415
    from fl_tasks.stages.learning_process import learning_python  # noqa: PLC0415
    from fl_tasks.stages.runner import run_stage  # noqa: PLC0415

    party = Party(home(), federation(), options.kind, options.agency, options.bundle)

    def run(call: bytes | None) -> Done:
        results = []

        def work() -> None:
            spec = party.spec(call)
            path = write_spec(spec)
            # `ps` and `pgrep` find it like a process of its own. So long a title takes the place of the environment,
            # of which a copy is made, unless this variable forbids it.
            os.environ.pop("SPT_NOENV", None)
            setproctitle(f"fl run {spec.stage} --spec {path}")
            try:
                run_stage(path)
            except FLError:
                if spec.failure_path.exists():
                    results.append(spec.failure_path.read_bytes())
                raise
            results.append(spec.result_path.read_bytes())

        return Done(exit_code_of(work), *results)

    user, group = (None, None) if options.worker_user is None else _user_and_group(options.worker_user)
    memory = options.memory_mib * 2**20
    Daemon(
        options.socket_folder or party.folder,
        Workers(learning_python, most=len(os.sched_getaffinity(0)), memory_bytes=memory),
        memory_bytes=memory,
        idle_seconds=_IDLE_SECONDS if options.idle is None and user is None else options.idle,
        owner=options.owner,
        run=run,
        users=() if user is None else (user,),
        group=group,
        errand=None if options.kind == "coordinator" else TellDecisions(party.home, options.agency),
    ).serve()


def _user_and_group(name: str) -> tuple[int, int]:
    """Return the ids of a user of this machine and of its primary group; raises ConfigError if there is none.

    A number that has no entry (a container's user) has a group of the same number.
    """
    try:
        user = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError as error:
        if name.isdecimal():
            return int(name), int(name)
        raise ConfigError(
            f"--worker-user {name}: this machine has no such user; `fl agency units` writes a sysusers.d file"
        ) from error
    return user.pw_uid, user.pw_gid
