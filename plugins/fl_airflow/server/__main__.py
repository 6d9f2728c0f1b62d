"""`python -m fl_airflow.server`: the server on one machine, and the same parts in containers.

Exit code 0: done; 1: not healthy; 2: it cannot be done, the message says why.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from fl_airflow.installation import DAGS_FOLDER, installation_home
from fl_airflow.server import control, federation
from fl_airflow.server.api import PARTS_OF_HEALTH, health
from fl_airflow.server.certificates import make_certificates
from fl_airflow.server.config import (
    AUTHORITY,
    EVERY_ADDRESS,
    ServerConfig,
    authority_file,
    configure,
    read_config,
    server_environment,
    tls_folder,
)
from fl_airflow.server.errors import ServerError
from fl_airflow.server.processes import SERVER_ID
from fl_airflow.server.supervisor import Supervisor
from fl_airflow.stage_process import OWNER
from fl_tasks.contracts.errors import FLError

EXIT_UNHEALTHY = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command."""
    words = sys.argv[1:] if argv is None else argv
    try:
        if words[:1] == ["airflow"]:  # its words are Airflow's own
            return _airflow(words[1:])
        options = _parser().parse_args(words)
        return int(options.call(options))
    except FLError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fl_airflow.server", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start the server in the background")
    up.add_argument("--port", type=int, help="of the API and the UI (default 8080; with names 8443)")
    up.add_argument(
        "--name",
        action="append",
        default=[],
        help="host name or IP address at which agencies reach it, more than once for several: HTTPS, open to agencies",
    )
    up.add_argument("--listen", default=EVERY_ADDRESS, help="address to listen on, with names (default: all)")
    up.add_argument("--dags-folder", type=Path, default=DAGS_FOLDER, help="with the DAG files (default dags/)")
    up.set_defaults(call=_up)
    commands.add_parser("down", help="stop the server").set_defaults(call=_down)
    commands.add_parser("status", help="how the server does").set_defaults(call=_status)
    scenario = commands.add_parser("trial", help="data, keys and roster of a scenario, as the demo makes them")
    scenario.add_argument("scenario")
    scenario.add_argument("--data", type=Path, help="folder of the real data set; without it data is generated")
    scenario.set_defaults(call=_federation)
    commands.add_parser("airflow", help="run an airflow command in the server's environment: airflow dags list")
    commands.add_parser("supervise", help="what `up` starts in the background").set_defaults(call=_supervise)
    commands.add_parser("init", help="make Airflow's tables and pools").set_defaults(call=_init)
    health_of = commands.add_parser("health", help="ask whether one part is healthy")
    health_of.add_argument("part", choices=PARTS_OF_HEALTH)
    health_of.set_defaults(call=_part_health)
    container = commands.add_parser("configure", help="write the configuration of a server in containers")
    container.add_argument("--host", required=True, help="address that the API listens on in its container")
    container.add_argument("--port", type=int, required=True)
    container.add_argument("--url", required=True, help="how the other containers reach the API")
    container.add_argument("--public-url", required=True, help="how people reach the UI")
    container.add_argument("--database-host", required=True)
    container.add_argument("--database-port", type=int, default=5432)
    container.add_argument("--database-password-file", type=Path, required=True)
    container.add_argument(
        "--certificate-name",
        action="append",
        metavar="NAME",
        help="host name or IP address of the API's certificate, more than once for several: HTTPS, open to agencies",
    )
    container.set_defaults(call=_configure)
    return parser


def _up(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _as_interrupt)
    home = installation_home()
    port = options.port or (8443 if options.name else 8080)
    control.up(home, port, _say, dags_folder=options.dags_folder, names=options.name, listen=options.listen)
    if options.name:
        _say(f"agencies reach it at {read_config(home).public_url}; hand them {tls_folder(home) / AUTHORITY}")
        return 0
    for name in federation.scenarios_without_roster(home):
        _say(f"{name}: no roster yet; `make trial SCENARIO={name} [DATA=folder]` makes one for a trial")
    return 0


def _down(options: argparse.Namespace) -> int:
    control.down(installation_home(), _say)
    return 0


def _status(options: argparse.Namespace) -> int:
    return 0 if control.status(installation_home(), _say) else EXIT_UNHEALTHY


def _federation(options: argparse.Namespace) -> int:
    home = installation_home()
    federation.prepare_scenario(home, options.scenario, options.data)
    _say(f"{options.scenario}: data handed out, roster approved by every agency; home {home}")
    return 0


def _airflow(words: list[str]) -> int:
    home = installation_home()
    env = server_environment(home, read_config(home))
    if words[:1] == ["scheduler"]:
        # The stages of its tasks run by a daemon that ends with it. It will be this process: execve keeps the number.
        env[OWNER] = str(os.getpid())
    os.execve(sys.executable, [sys.executable, "-P", "-m", "airflow", *words], env)  # noqa: S606 - no shell is wanted


def _supervise(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return Supervisor(installation_home(), os.environ[SERVER_ID]).run()


def _init(options: argparse.Namespace) -> int:
    home = installation_home()
    env = server_environment(home, read_config(home))
    argv = [sys.executable, "-P", "-m", "fl_airflow.server.tables", *federation.training_pools()]
    os.execve(sys.executable, argv, env)  # noqa: S606 - no shell is wanted


def _part_health(options: argparse.Namespace) -> int:
    home = installation_home()
    config = read_config(home)
    word = health(config.url, authority_file(home, config))[options.part]
    _say(f"{options.part}: {word}")
    return 0 if word == "healthy" else EXIT_UNHEALTHY


def _configure(options: argparse.Namespace) -> int:
    try:
        password = options.database_password_file.read_text().strip()
    except OSError as error:
        raise ServerError(f"{options.database_password_file} cannot be read ({error.strerror})") from error
    config = ServerConfig(
        schema=1,
        host=options.host,
        port=options.port,
        url=options.url,
        public_url=options.public_url,
        database_host=options.database_host,
        database_port=options.database_port,
        dags_folder=str(DAGS_FOLDER),
        tls=bool(options.certificate_name),
        agencies=bool(options.certificate_name),
    )
    home = installation_home()
    configure(home, config, password)
    if options.certificate_name:
        make_certificates(tls_folder(home), options.certificate_name)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
