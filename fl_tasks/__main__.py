"""The command-line tool `fl`, also `python -m fl_tasks`. Exit code 0: done; 10: final error; 1: worth a retry."""

from __future__ import annotations

import argparse
import logging
import sys

from fl_tasks.commands import agency, coordinator, officer, serve, stages, upkeep
from fl_tasks.commands.common import exit_code_of


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="fl", description="Huiliu: federated retraining for government agencies.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    stages.add_to(commands)
    of_agency = commands.add_parser("agency", help="Commands of an agency.").add_subparsers(required=True)
    agency.add_to(of_agency)
    of_coordinator = commands.add_parser("coordinator", help="Commands of the coordinator.").add_subparsers(
        required=True
    )
    coordinator.add_to(of_coordinator)
    officer.add_to(commands.add_parser("officer", help="Commands of a data officer.").add_subparsers(required=True))
    serve.add_to(commands, of_agency, of_coordinator)
    upkeep.add_to(commands, of_agency, of_coordinator)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    # Libraries log what they like; only our own allow-listed lines go out at INFO.
    for name in ("great_expectations", "httpx", "matplotlib", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return exit_code_of(lambda: options.function(options))


if __name__ == "__main__":
    sys.exit(main())
