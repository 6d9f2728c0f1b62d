"""`python -m fl_airflow.hosts`: a whole federation on one machine, each party as on a host of its own.

Exit code 0: done; 1: not healthy, or the run failed; 2: it cannot be done, the message says why.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import shutil
import sys
from pathlib import Path

from fl_airflow.hosts.founding import found
from fl_airflow.hosts.layout import HOSTS, Layout, read_layout
from fl_airflow.hosts.retraining import retrain
from fl_airflow.hosts.starting import start
from fl_airflow.hosts.supervisor import FederationSupervisor
from fl_airflow.installation import installation_home
from fl_airflow.server import control
from fl_airflow.server.errors import ServerError
from fl_airflow.server.processes import SERVER_ID
from fl_tasks.contracts.errors import FLError

EXIT_FAILED = 1
EXIT_ERROR = 2
_PROGRAMS = {"ip": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux", "unshare": "util-linux"}


def main(argv: list[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(argv)
    try:
        return int(options.call(options))
    except FLError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_ERROR


def hosts_folder() -> Path:
    """Return where the federation lies: $HUILIU_HOSTS, by default a folder that is named after the home folder.

    It is below /var/lib, where every party's user can go: a home folder is for its owner alone.
    """
    given = os.environ.get(HOSTS)
    name = hashlib.sha256(os.fsencode(installation_home())).hexdigest()[:12]
    return Path(given).resolve() if given else Path("/var/lib/huiliu") / name / "hosts"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fl_airflow.hosts", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="make the federation if there is none, and start it")
    up.add_argument("scenario")
    up.add_argument("--agencies", type=int, default=3, help="how many take part (default 3)")
    up.add_argument("--data", type=Path, help="folder of the real data set; without it data is generated")
    up.add_argument(
        "--absent-seconds", type=int, default=300, help="an agency that fetches no task for so long is absent"
    )
    up.set_defaults(call=_up)
    run = commands.add_parser("run", help="retrain once, and wait for the end")
    run.add_argument("--rounds", type=int, help="fewer rounds than the scenario wants")
    run.set_defaults(call=_retrain)
    commands.add_parser("down", help="stop everything").set_defaults(call=_down)
    commands.add_parser("status", help="how every part does").set_defaults(call=_status)
    supervise = commands.add_parser("supervise", help="what `up` starts in the background")
    supervise.add_argument("--machine", type=int, required=True, help="process in the machine's network namespace")
    supervise.set_defaults(call=_supervise)
    return parser


def _up(options: argparse.Namespace) -> int:
    _need_root()
    layout = found(hosts_folder(), options.scenario, options.agencies, options.data, options.absent_seconds)
    start(layout, _say)
    return 0


def _retrain(options: argparse.Namespace) -> int:
    conf: dict[str, object] = {} if options.rounds is None else {"rounds": options.rounds}
    return 0 if retrain(_layout(), _say, conf=conf) else EXIT_FAILED


def _down(options: argparse.Namespace) -> int:
    control.down(_layout().home, _say)
    return 0


def _status(options: argparse.Namespace) -> int:
    return 0 if control.status(_layout().home, _say) else EXIT_FAILED


def _supervise(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return FederationSupervisor(_layout(), os.environ[SERVER_ID], options.machine).run()


def _layout() -> Layout:
    return read_layout(hosts_folder())


def _need_root() -> None:
    if os.geteuid() != 0:
        raise ServerError("network namespaces and other users need root: run `sudo make federation`")
    missing = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        raise ServerError(f"missing programs; install the packages {', '.join(missing)}: `make hosts` does")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
