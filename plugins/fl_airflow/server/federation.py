"""Make a scenario ready to run on the server: its data, its keys and its roster, as `make demo` does it."""

from __future__ import annotations

from pathlib import Path

from fl_airflow.federation import found_federation, hand_out_data
from fl_airflow.installation import FEDERATION
from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home


def prepare_scenario(home: Path, scenario: str, data: Path | None) -> None:
    """Hand out data to a scenario's agencies, make everyone's keys, and let everyone approve the roster.

    Args:
        home: The installation's home folder.
        scenario: Which one.
        data: Folder of the real data set; None for generated data.

    Raises:
        ConfigError: If there is no such scenario.
        InputError: If a file of the real data set is missing or malformed.
    """
    known = sorted(load_federation(FEDERATION).scenarios)
    if scenario not in known:
        raise ConfigError(f"scenario {scenario!r} is not there; needed is one of {', '.join(known)}")
    hand_out_data(scenario, home, data)
    found_federation(scenario, home)


def scenarios_without_roster(home: Path) -> list[str]:
    """Return the scenarios that no roster was ever proposed for: a run of them cannot get far."""
    places = Home(home)
    return [
        name
        for name in sorted(load_federation(FEDERATION).scenarios)
        if not places.roster(name).is_dir() or not any(places.roster(name).iterdir())
    ]


def training_pools() -> list[str]:
    """Return the names of the pools that the scenarios' training tasks go to."""
    return sorted({scenario.tasks.training_pool for scenario in load_federation(FEDERATION).scenarios.values()})
