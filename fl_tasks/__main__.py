"""The command-line tool `fl`, also `python -m fl_tasks`. Exit code 0: done; 10: final error; 1: worth a retry."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import fl_tasks
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import AGENCY_STAGES, COORDINATOR_STAGES, EXIT_FINAL, EXIT_RETRY

REPOSITORY = Path(fl_tasks.__file__).parents[1]


def home() -> Home:
    """The installation's home: HUILIU_HOME, or var/ beside the package."""
    return Home(Path(os.environ.get("HUILIU_HOME") or REPOSITORY / "var").resolve())


def federation() -> Path:
    """The folder with scenarios/ and agencies/: HUILIU_FEDERATION, or dags/federation beside the package."""
    return Path(os.environ.get("HUILIU_FEDERATION") or REPOSITORY / "dags" / "federation").resolve()


def _run(options: argparse.Namespace) -> None:
    from fl_tasks.contracts.errors import ConfigError  # noqa: PLC0415
    from fl_tasks.contracts.stage import read_spec  # noqa: PLC0415
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


def _agency_init(options: argparse.Namespace) -> None:
    from fl_tasks.stages import enrol  # noqa: PLC0415

    card = enrol.init_agency(home(), federation(), options.scenario, options.agency)
    print(f"{card.name}: folder {home().agency(card.name)}")
    print(f"{card.name}: protocol key {card.protocol_key}")
    print(f"{card.name}: the code and DAG files as installed are approved; what is admitted is in policy.yaml")


def _agency_approve_code(options: argparse.Namespace) -> None:
    from fl_tasks.stages.installed_code import approve_code  # noqa: PLC0415

    done = approve_code(home(), federation(), options.agency)
    for change in done.changed:
        print(f"{options.agency}: {change}")
    print(f"{options.agency}: approved {len(done.approval.files)} files of code and DAGs, {done.approval.sha256}")


def _agency_approve(options: argparse.Namespace) -> None:
    from fl_tasks.stages import enrol  # noqa: PLC0415

    roster = enrol.approve(home(), options.scenario, options.agency, options.hash)
    waiting = [name for name in roster.names if name not in enrol.approvals(home(), roster)]
    print(f"{options.agency}: approved roster {options.hash} (version {roster.version}, t = {roster.t})")
    print(f"waiting for: {', '.join(waiting) or 'nobody'}")


def _agency_lift(options: argparse.Namespace) -> None:
    from fl_tasks.stages import enrol  # noqa: PLC0415

    enrol.lift(home(), options.scenario, options.agency, options.model, (options.start, options.end))
    print(f"{options.agency}: another set of agencies is admitted once under model {options.model}")


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
    from fl_tasks.contracts.errors import PolicyRefused  # noqa: PLC0415
    from fl_tasks.contracts.stage import read_spec  # noqa: PLC0415
    from fl_tasks.daemon.server import Daemon  # noqa: PLC0415
    from fl_tasks.daemon.workers import Workers  # noqa: PLC0415
    from fl_tasks.stages.learning_process import learning_python  # noqa: PLC0415

    def run(stage: str, spec: str) -> int:
        return main(["run", stage, "--spec", spec])

    def run_own(stage: str, spec: str) -> int:
        def checked() -> None:
            agency = read_spec(Path(spec)).agency
            if agency != options.agency:
                raise PolicyRefused(f"{spec}: field agency: is {agency!r}, this daemon serves {options.agency!r}")

        return exit_code_of(checked) or run(stage, spec)

    memory = options.memory_mib * 2**20
    parties = {"all": home().root, "coordinator": home().coordinator}
    Daemon(
        parties.get(options.party) or home().agency(options.agency),
        Workers(learning_python, most=len(os.sched_getaffinity(0)), memory_bytes=memory),
        memory_bytes=memory,
        idle_seconds=options.idle,
        owner=options.owner,
        run=run if options.party == "all" else run_own,
    ).serve()


def _coordinator_init(options: argparse.Namespace) -> None:
    from fl_tasks.stages import enrol  # noqa: PLC0415

    roster = enrol.init_coordinator(home(), federation(), options.scenario)
    print(
        f"roster of {roster.scenario}, version {roster.version}: N = {len(roster.members)}, t = {roster.t}, "
        f"n_c = {roster.secagg.n_c}; every agency compares and approves this hash:"
    )
    print(roster.sha256.hex())


def _validate(options: argparse.Namespace) -> None:
    from fl_tasks.contracts.errors import ConfigError, InputError  # noqa: PLC0415
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


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="fl", description="Huiliu: federated retraining for government agencies.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(
        group: argparse._SubParsersAction[argparse.ArgumentParser],
        name: str,
        text: str,
        function: Callable[[argparse.Namespace], None],
    ) -> argparse.ArgumentParser:
        made = group.add_parser(name, help=text, description=text)
        made.set_defaults(function=function)
        return made

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

    agency = commands.add_parser("agency", help="Commands of an agency.").add_subparsers(required=True)
    init = command(agency, "init", "Make an agency's folder, keys and policy.yaml; approve its code.", _agency_init)
    approve = command(agency, "approve", "Approve a scenario's roster by its hash.", _agency_approve)
    approve.add_argument("hash", metavar="HASH", help="64 hexadecimal digits, compared with the other agencies")
    code = command(agency, "approve-code", "Approve code and DAG files as installed now.", _agency_approve_code)
    code.add_argument("--agency", required=True)
    lift = command(agency, "lift", "Admit one more survivor set under a model and interval.", _agency_lift)
    lift.add_argument("model", metavar="MODEL", help="the model's hash, 64 hexadecimal digits")
    lift.add_argument("--start", required=True, help="the data interval's start, ISO time as in the report")
    lift.add_argument("--end", required=True, help="the data interval's end, ISO time as in the report")
    for made in (init, approve, lift):
        made.add_argument("--scenario", required=True)
        made.add_argument("--agency", required=True)

    coordinator = commands.add_parser("coordinator", help="Commands of the coordinator.").add_subparsers(required=True)
    serve = [
        command(commands, "serve", "Run the stages of all parties of this installation, ready at once.", _serve),
        command(agency, "serve", "Run an agency's stages, ready at once.", _serve),
        command(coordinator, "serve", "Run the coordinator's stages, ready at once.", _serve),
    ]
    for made, party in zip(serve, ("all", "agency", "coordinator"), strict=True):
        made.set_defaults(party=party, agency=None)
        made.add_argument("--idle", type=float, default=600.0, metavar="SECONDS", help="end after so long without work")
        made.add_argument("--memory-mib", type=int, default=8192, help="most memory of one stage or learning worker")
        made.add_argument("--owner", type=int, metavar="PID", help="end with this process")
    serve[1].add_argument("--agency", required=True)
    propose = command(coordinator, "init", "Make the coordinator's key and propose a roster.", _coordinator_init)
    propose.add_argument("--scenario", required=True)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    # Libraries log what they like; only our own allow-listed lines go out at INFO.
    for name in ("great_expectations", "matplotlib", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return exit_code_of(lambda: options.function(options))


def exit_code_of(work: Callable[[], object]) -> int:
    """Do the work; say an error that was raised on purpose, and return the process's exit code."""
    try:
        work()
    except FLError as error:
        print(f"error: {error.code}: {error}", file=sys.stderr)
        return EXIT_RETRY if error.retryable else EXIT_FINAL
    return 0


if __name__ == "__main__":
    sys.exit(main())
