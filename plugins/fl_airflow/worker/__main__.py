"""`python -m fl_airflow.worker`: set an agency's edge worker up, and run it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from fl_airflow.installation import DAGS_FOLDER
from fl_airflow.worker.config import WorkerConfig, configure_worker, read_worker_config, worker_environment
from fl_tasks.contracts.config import load_agency
from fl_tasks.contracts.errors import ConfigError, FLError
from fl_tasks.contracts.stage import EXIT_FINAL


def main(argv: list[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(argv)
    try:
        options.call(options)
    except FLError as error:
        sys.stderr.write(f"error: {error.code}: {error}\n")
        return EXIT_FINAL
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fl_airflow.worker", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    init = commands.add_parser("init", help="write the worker's folder")
    init.add_argument("--agency", required=True, help="whose tasks it runs")
    init.add_argument("--url", required=True, help="the coordinator's server, like https://hub.example:8443")
    init.add_argument("--ca", type=Path, required=True, help="certificate authority of the server, PEM")
    init.add_argument("--key", type=Path, required=True, help="the agency's keys/airflow.key, or - for standard input")
    init.add_argument("--socket-folder", type=Path, required=True, help="where `fl agency serve` listens")
    init.add_argument("--dags-folder", type=Path, default=DAGS_FOLDER, help="the agency's DAG files")
    init.add_argument("--concurrency", type=int, default=2, help="most tasks at one time (default 2)")
    init.set_defaults(call=_init)
    run = commands.add_parser("run", help="run the worker in the foreground, until SIGTERM")
    run.set_defaults(call=_run)
    for command in (init, run):
        command.add_argument("--folder", type=Path, required=True, help="the worker's own folder")
    return parser


def _init(options: argparse.Namespace) -> None:
    try:
        key = sys.stdin.buffer.read() if str(options.key) == "-" else options.key.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{options.key}: cannot be read ({error.strerror}); it is made by `fl agency join`"
        ) from error
    if not options.ca.is_file():
        raise ConfigError(f"{options.ca}: there is no such file; ask the coordinator for its certificate authority")
    agency = load_agency(options.dags_folder / "federation", options.agency)
    config = WorkerConfig(
        schema=1,
        agency=agency.agency,
        queue=agency.queue,
        url=options.url.rstrip("/"),
        ca_file=options.ca.resolve(),
        socket_folder=options.socket_folder.resolve(),
        dags_folder=options.dags_folder.resolve(),
        concurrency=options.concurrency,
    )
    configure_worker(options.folder, config, key)
    print(f"{config.agency}: worker of queue {config.queue} at {config.url}; folder {options.folder}")


def _run(options: argparse.Namespace) -> None:
    folder = options.folder.resolve()
    config = read_worker_config(folder)
    env = worker_environment(folder, config)
    argv = [
        *(sys.executable, "-P", "-m", "airflow", "edge", "worker", "--edge-hostname", config.agency),
        *("--queues", config.queue, "--concurrency", str(config.concurrency)),
    ]
    os.execve(sys.executable, argv, env)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main())
