"""Make Airflow's tables and pools: `python -m fl_airflow.server.tables POOL ...`, in a server's environment.

One process calls three `airflow` commands, since each would need seconds for its imports.
"""

from __future__ import annotations

import os
import sys


def main(pools: list[str]) -> int:
    """Bring the tables up to date and make the pools that are missing, with a slot a core."""
    _airflow("db", "migrate")
    for pool in pools:
        try:
            _airflow("pools", "get", pool)  # one that is there keeps the slots that an operator gave it
        except SystemExit:
            _airflow("pools", "set", pool, str(os.cpu_count() or 1), "Trainings at the same time: one a core")
    return 0


def _airflow(*words: str) -> None:
    from airflow.cli.cli_parser import get_parser  # noqa: PLC0415 - takes seconds

    options = get_parser().parse_args(words)
    options.func(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
