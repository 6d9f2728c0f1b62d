"""`python -m fl_airflow.embedded demo`: a whole federation on this machine, from data to report."""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
from pathlib import Path
from types import FrameType
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from fl_airflow.embedded.federation import found_federation, hand_out_data, prepare_airflow
from fl_airflow.embedded.process_tree import adopt_orphans
from fl_airflow.embedded.run import Outcome, run_scenario
from fl_airflow.embedded.table import summary
from fl_airflow.installation import FEDERATION, installation_home
from fl_tasks.contracts.base import describe
from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.errors import ConfigError, FLError
from fl_tasks.contracts.report import Report

EXIT_RED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

# The demo's scenario, and the end of the month in which both the real file and the generated data lie.
_SCENARIO = "traffic_districts"
_INTERVAL_END = dt.date(2012, 4, 1)


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 only for a green run."""
    parser = argparse.ArgumentParser(prog="python -m fl_airflow.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo_parser = commands.add_parser("demo", help="retrain a traffic model over four agencies")
    demo_parser.add_argument("--data", type=Path, help="folder of the real data set; without it data is generated")
    demo_parser.add_argument("--rounds", type=int, default=3, help="federated rounds (default 3)")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _as_interrupt)
    signal.signal(signal.SIGHUP, _as_interrupt)
    try:
        return demo(options.data, options.rounds)
    except FLError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; every process of the run was stopped\n")
        return EXIT_INTERRUPTED


def demo(data: Path | None, rounds: int) -> int:
    """Make the federation, hand out the data, retrain once and print the result.

    Args:
        data: Folder of the real data set; None for generated data.
        rounds: Aggregated rounds, from 1 to those that the scenario wants.

    Raises:
        FLError: If the run cannot start; the message says what is wrong.
    """
    config = load_scenario(FEDERATION, _SCENARIO)
    if not 1 <= rounds <= config.rounds.wanted:
        raise ConfigError(
            f"rounds: got {rounds}, needed is 1 to {config.rounds.wanted} (field rounds.wanted of the scenario)"
        )
    home = installation_home()
    adopt_orphans()
    print(f"{config.title}\nhome {home}")
    hand_out_data(_SCENARIO, home, data)
    print(f"data: {'generated' if data is None else data}, handed out to the agencies")
    found_federation(_SCENARIO, home)
    print("roster: approved by every agency")
    prepare_airflow(home)
    zone = ZoneInfo(config.schedule.timezone)
    outcome = run_scenario(
        _SCENARIO, home, interval_end=dt.datetime.combine(_INTERVAL_END, dt.time(), tzinfo=zone), rounds=rounds
    )
    _show(outcome)
    return 0 if outcome.green else EXIT_RED


def _show(outcome: Outcome) -> None:
    print()
    path = outcome.folder / "report.json"
    try:
        print(summary(Report.model_validate_json(path.read_bytes())))
        print(f"report {path}")
    except FileNotFoundError:
        print("there is no report")
    except ValidationError as error:
        print(f"{path}: not a valid report: {describe(error)}")
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
