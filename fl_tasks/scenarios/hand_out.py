"""Giving agencies the files of a real or generated data set, where their YAML says that data lie."""

from __future__ import annotations

import gzip
from pathlib import Path

from fl_tasks.contracts.base import make_private_folder, write_atomic
from fl_tasks.contracts.config import load_agency
from fl_tasks.contracts.errors import ConfigError, InputError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.scenarios import load

Files = dict[str, dict[str, bytes]]
"""Agency -> path relative to its folder -> gzip CSV."""


def hand_out(scenario: str, files: Files, home: Home, federation: Path) -> None:
    """Write every agency's files into its folder; all are checked before one is written.

    A region that a scenario's REGIONS names, and that has no YAML here, is no agency of this federation and gets none.

    Args:
        scenario: Which data set of the agencies it is.
        files: What a scenario's `generate` or `split_real` returns.
        home: The installation.
        federation: The folder with agencies/.

    Raises:
        ConfigError: If an agency's YAML is wrong, or names another place for this scenario's data.
        InputError: If a file is empty or no gzip.
    """
    targets: dict[Path, bytes] = {}
    # A data set may hold more regions than a federation has agencies.
    regions = getattr(load(scenario), "REGIONS", ())
    files = {
        agency: contents
        for agency, contents in files.items()
        if agency not in regions or (federation / "agencies" / f"{agency}.yaml").exists()
    }
    for agency, contents in files.items():
        source = load_agency(federation, agency).scenarios.get(scenario)
        where = federation / "agencies" / f"{agency}.yaml"
        if source is None:
            raise ConfigError(f"{where}: field scenarios: {scenario!r} is not there; add it with a path")
        places = _places(source)
        for name, content in contents.items():
            if not any(name == place or name.startswith(f"{place}/") for place in places):
                raise ConfigError(
                    f"{where}: field scenarios.{scenario}.path: this data set goes to {name}; "
                    f"the YAML names {', '.join(places) or 'a database'}"
                )
            _check_gzip(agency, name, content)
            targets[home.agency(agency) / name] = content
    for agency in files:
        make_private_folder(home.agency(agency))
    for target, content in targets.items():
        write_atomic(target, content)


def _places(source: SourceConfig | TableSource) -> list[str]:
    flows = source.flow_table if isinstance(source, SourceConfig) else None
    flow_table = None if flows is None else flows.path
    return [place for place in (source.path, flow_table) if place is not None]


def _check_gzip(agency: str, name: str, content: bytes) -> None:
    try:
        empty = not gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise InputError(f"{name} for {agency} is not a whole gzip file ({type(error).__name__})") from error
    if empty:
        raise InputError(f"{name} for {agency} is empty; a header row and at least one row are needed")
