"""`fl run` and `fl validate`: one stage by hand, and what is wrong with data or YAML."""

from __future__ import annotations

import argparse
from pathlib import Path

from fl_tasks.commands.common import Commands, command, federation, home
from fl_tasks.contracts.errors import ConfigError, InputError
from fl_tasks.contracts.stage import AGENCY_STAGES, COORDINATOR_STAGES, read_spec


def add_to(commands: Commands) -> None:
    """Add the commands."""
    run = command(commands, "run", "Run one stage of a run, as the scheduler does.", _run)
    run.add_argument("stage", choices=sorted(AGENCY_STAGES + COORDINATOR_STAGES), metavar="STAGE")
    run.add_argument("--spec", type=Path, required=True, help="the stage's spec, JSON")

    validate = command(commands, "validate", "Say what is wrong with data or a federation folder.", _validate)
    validate.add_argument(
        "path",
        type=Path,
        nargs="?",
        metavar="FILE|FOLDER",
        help="an agency's file, or a folder of its files; by default what its YAML declares. Without --agency: a "
        "folder with scenarios/ and agencies/",
    )
    validate.add_argument("--scenario", help="whose data they are")
    validate.add_argument("--agency", help="whose declaration the data follow")


def _run(options: argparse.Namespace) -> None:
    from fl_tasks.stages.runner import run_stage  # noqa: PLC0415

    spec = read_spec(options.spec)
    if spec.stage != options.stage:
        raise ConfigError(f"{options.spec}: field stage: is {spec.stage!r}, the command line says {options.stage!r}")
    # Keys, policy and approvals are read there: a spec must not bring its own.
    if spec.home.resolve() != home().root:
        raise ConfigError(
            f"{options.spec}: field home: is {spec.home}, this installation's is {home().root}; set HUILIU_HOME if the "
            "spec is right"
        )
    run_stage(options.spec)


def _validate(options: argparse.Namespace) -> None:
    from fl_tasks.stages.inspect_input import inspect_federation, inspect_source  # noqa: PLC0415

    if (options.scenario is None) != (options.agency is None):
        raise ConfigError("fl validate: --scenario and --agency belong together: whose declaration the data follow")
    if options.agency is not None:
        folder = home().agency(options.agency)
        found = inspect_source(federation(), folder, options.scenario, options.agency, options.path)
    else:
        found = inspect_federation(options.path or federation())
    for line in found.problems or found.summary:
        print(line)
    if found.problems:
        raise InputError("something is wrong; each line above says what and where")
