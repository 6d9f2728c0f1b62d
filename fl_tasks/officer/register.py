"""Registers an agency's data set with PySyft: mock data from the scenario's generator, and where the real ones lie.

PySyft copies what it is given as private data into its own folder. It is given a note that says where the data are:
they stay with the agency's daemon, and no copy of them ever comes into the officer's folder.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from fl_tasks.contracts.config import load_scenario, load_source
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.officer.desk import Desk
from fl_tasks.scenarios import load

_SEED = 20_260_101  # of the mock data; any would do
_NOTE = "where.json"


def register(desk: Desk, federation: Path, scenario: str, mock: Path | None) -> int:
    """Register a scenario's data set, in place of the one that was registered before.

    Args:
        desk: The officer's.
        federation: The folder with scenarios/ and agencies/.
        scenario: Whose data set; it takes the scenario's name.
        mock: A folder with mock files of the officer's own; None: the scenario's generator makes them.

    Returns:
        How many mock files there are.

    Raises:
        ConfigError: If the agency has not joined the scenario, its generator knows no such agency, or the folder is
            none or empty.
    """
    config = load_scenario(federation, scenario)
    source = load_source(federation, desk.agency, scenario)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        note = folder / _NOTE
        data = desk.home.agency(desk.agency) / source.path if source.path is not None else source.where
        note.write_text(json.dumps({"agency": desk.agency, "scenario": scenario, "data": str(data)}, indent=1))
        files = _generated(desk.agency, scenario, folder / "mock") if mock is None else mock
        if not files.is_dir() or not any(files.iterdir()):
            raise ConfigError(f"{files}: is no folder with mock files; name one, or leave --mock out")
        with desk.at_work():
            desk.datasite.register(scenario, files, note, config.title)
    found = desk.datasite.mock(scenario)
    return len(found or ())


def _generated(agency: str, scenario: str, folder: Path) -> Path:
    """Write the generator's files of an agency below a new folder, under the names that they have at the agency."""
    made = load(scenario).generate(seed=_SEED)
    if agency not in made:
        raise ConfigError(
            f"the generator of {scenario} makes no data of {agency}, only of {', '.join(sorted(made))}; name a folder "
            "with mock files in the form of the agency's own: --mock FOLDER"
        )
    for name, content in made[agency].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
