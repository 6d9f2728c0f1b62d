"""`python -m fl_airflow.embedded demo`: a whole federation on this machine, from data to report."""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from fl_airflow.embedded.run import Outcome, run_forecast, run_retraining
from fl_airflow.embedded.table import summary
from fl_airflow.federation import found_federation, hand_out_data, prepare_airflow
from fl_airflow.installation import FEDERATION, installation_home
from fl_airflow.process_tree import adopt_orphans, kill_descendants
from fl_airflow.settings import environment
from fl_airflow.stage_process import start_daemon
from fl_tasks import scenarios
from fl_tasks.contracts.base import describe
from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.errors import ConfigError, FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.report import Report

EXIT_RED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 only for a green run."""
    parser = argparse.ArgumentParser(prog="python -m fl_airflow.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo_parser = commands.add_parser("demo", help="retrain a scenario over its agencies, from data to report")
    demo_parser.add_argument("--scenario", default="traffic_districts", help="default traffic_districts")
    demo_parser.add_argument("--data", type=Path, help="folder of the real data set; without it data is generated")
    demo_parser.add_argument("--rounds", type=int, help="federated rounds; each scenario has its own default")
    demo_parser.add_argument("--local-only", choices=("yes", "no"), default="yes", help="train alone too, to compare")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _as_interrupt)
    signal.signal(signal.SIGHUP, _as_interrupt)
    try:
        return demo(options.scenario, options.data, options.rounds, local_only=options.local_only == "yes")
    except FLError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; every process of the run was stopped\n")
        return EXIT_INTERRUPTED
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a second one must not stop the end half-way
            signal.signal(number, signal.SIG_IGN)
        kill_descendants()


def demo(scenario: str, data: Path | None, rounds: int | None, *, local_only: bool) -> int:
    """Make the federation, hand out the data, retrain once, use a promoted model, and print the result.

    Args:
        scenario: Whose DAGs run.
        data: Folder of the real data set; None for generated data.
        rounds: Aggregated rounds, from 1 to those that the scenario wants; by default those of its demo.
        local_only: Whether each agency also trains alone, to compare with.

    Raises:
        FLError: If the run cannot start; the message says what is wrong.
    """
    config = load_scenario(FEDERATION, scenario)
    module = scenarios.load(scenario)
    rounds = module.DEMO_ROUNDS if rounds is None else rounds
    if not 1 <= rounds <= config.rounds.wanted:
        raise ConfigError(
            f"rounds: got {rounds}, needed is 1 to {config.rounds.wanted} (field rounds.wanted of the scenario)"
        )
    home = installation_home()
    adopt_orphans()
    print(f"{config.title}\nhome {home}")
    daemon = start_daemon(home, environment(home))  # imports while everything else is prepared
    with ThreadPoolExecutor(1) as pool:
        airflow = pool.submit(prepare_airflow, home)
        hand_out_data(scenario, home, data)
        print(f"data: {'generated' if data is None else data}, handed out to the agencies")
        found_federation(scenario, home)
        print("roster: approved by every agency")
        airflow.result()
    zone = ZoneInfo(config.schedule.timezone)
    interval_end = dt.datetime.fromisoformat(module.DEMO_INTERVAL_END).replace(tzinfo=zone)
    outcome = run_retraining(
        scenario, home, interval_end=interval_end, rounds=rounds, local_only=local_only, daemon=daemon
    )
    forecast = None
    report = _report(outcome)
    if outcome.green and report is not None and report.status == "promoted":
        verb = "scores its own rows" if config.data.kind == "table" else "forecasts from its own data"
        print(f"\npromoted: every agency {verb} with the new model")
        forecast = run_forecast(scenario, home, interval=report.data_interval, daemon=daemon)
    print()
    print("there is no report" if report is None else summary(report))
    for run in (outcome, forecast):
        if run is not None:
            _show(run)
    if forecast is not None:
        kept = "scores" if config.data.kind == "table" else "forecasts"
        print(f"{kept}: {Home(home).agency('<agency>')}/{kept}/{scenario}/{forecast.folder.name}/")
    return 0 if outcome.green and (forecast is None or forecast.green) else EXIT_RED


def _report(outcome: Outcome) -> Report | None:
    path = outcome.folder / "report.json"
    try:
        return Report.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        print(f"{path}: not a valid report: {describe(error)}")
        return None


def _show(outcome: Outcome) -> None:
    for name in ("report.json", "report.html"):
        if (outcome.folder / name).exists():
            print(f"report {outcome.folder / name}")
    print(f"log    {outcome.log}")
    print(f"{outcome.seconds:.0f} s, peak memory {outcome.peak_pss_bytes / 2**30:.2f} GiB")
    if outcome.green:
        return
    print("\nthe run is red")
    # The verdict only repeats the report's reason; the step that broke the run says more.
    failed = [step for step in outcome.progress.failed if step.title != "verdict"]
    if failed:
        print(f"{failed[-1].title} failed; it said last:")
    for line in failed[-1].lines if failed else outcome.progress.last_lines():
        print(f"  {line}")


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
