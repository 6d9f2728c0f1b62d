"""The examples that a table scenario's agencies would train on: by the data stages' own functions, without a run.

Ingested, surveyed (in the clear: the sums are the same), generalized, suppressed, scaled and split as in a run; the
split's secret is a seed, so that figures can be taken over several splits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fl_tasks.anonymize.nodes import choose_node, count_nodes, lattice_shape, table_cells
from fl_tasks.contracts.anonymize import PrivacyPolicy
from fl_tasks.contracts.config import load_scenario, load_table_source
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.survey import SummedColumn
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.data.tables.declaration import Declared, declare
from fl_tasks.data.tables.deidentify import split_places
from fl_tasks.data.tables.examples import parts
from fl_tasks.data.tables.features import encode, encode_target, feature_names
from fl_tasks.data.tables.ingest import ingest
from fl_tasks.data.tables.sums import ColumnSums, scale_of, sum_column
from fl_tasks.data.tables.table import Table, read_table
from fl_tasks.scenarios.hand_out import Files, hand_out
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, load_domains, load_hierarchies
from fl_tasks.stages.tables.release import generalized, release

FEDERATION = Path(__file__).resolve().parents[2] / "dags" / "federation"
SPAN = (dt.date(1900, 1, 1), dt.date(2100, 1, 1))  # a snapshot is read whole


@dataclass(frozen=True)
class Delivered:
    """One agency's harmonized rows."""

    table: Table
    declared: Declared
    quarantined: int
    merged: int


@dataclass(frozen=True)
class Prepared:
    """What all agencies' examples are: agency -> part -> (x, y), and what preparing them cost."""

    examples: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]
    preparation: Preparation
    suppressed: dict[str, float]


def delivered(scenario: str, files: Files, folder: Path) -> dict[str, Delivered]:
    """Hand the files out below a folder and ingest them."""
    home = Home(folder)
    hand_out(scenario, files, home, FEDERATION)
    config = load_scenario(FEDERATION, scenario).table
    domains = load_domains(hierarchies_folder(FEDERATION, scenario), config)
    found = {}
    for agency in files:
        declared = declare(config, load_table_source(FEDERATION, agency, scenario))
        raw, rejected = (folder / f"{agency}.{kind}.parquet" for kind in ("raw", "rejected"))
        counts = ingest(declared, domains, home.agency(agency), agency, span=SPAN, raw=raw, rejected=rejected).rows
        found[agency] = Delivered(read_table(raw), declared, counts.quarantined, counts.merged)
    return found


def levels_of(agencies: Mapping[str, Delivered], scenario: str, policy: PrivacyPolicy | None = None) -> tuple[int, ...]:
    """Return the levels that the agencies' survey ends with; raises NoRecoding."""
    config = load_scenario(FEDERATION, scenario).table
    policy = policy or config.privacy
    hierarchies = load_hierarchies(hierarchies_folder(FEDERATION, scenario), config)
    sums = np.zeros(1, dtype=object)
    for agency in agencies.values():
        cells, _ = table_cells(agency.table.columns, config, hierarchies)
        sums = sums + np.array(count_nodes(cells, tuple(hierarchies.values()), policy), dtype=object)
    return choose_node(sums.tolist(), lattice_shape(hierarchies), len(agencies), policy).levels


def prepared(
    scenario: str, agencies: Mapping[str, Delivered], seed: int, levels: tuple[int, ...] | None, policy=None
) -> Prepared:
    """Return examples at given levels with what fails the policy suppressed; without levels everything as it came."""
    config: TableConfig = load_scenario(FEDERATION, scenario).table
    config = config.model_copy(update={"privacy": policy or config.privacy})
    hierarchies = load_hierarchies(hierarchies_folder(FEDERATION, scenario), config)
    chosen = dict(zip(hierarchies, levels or (0,) * len(hierarchies), strict=True))
    columns = [
        SummedColumn(column=column.column, minimum=column.minimum, maximum=column.maximum)
        for column in config.columns
        if column.scaled
    ]
    scales = {}
    for column in columns:
        sums = [sum_column(agency.table.columns[column.column], column).numbers for agency in agencies.values()]
        scales[column.column] = scale_of(ColumnSums.read([sum(numbers) for numbers in zip(*sums, strict=True)]), column)
    preparation = Preparation(levels=chosen, features=feature_names(config, chosen, hierarchies), scales=scales)
    examples, suppressed = {}, {}
    for name, agency in agencies.items():
        places = split_places(agency.table, agency.declared, f"split {seed}".encode())
        if levels is None:
            table, kept = generalized(agency.table, chosen, hierarchies, where=name), np.ones(len(places), dtype=bool)
        else:
            released = release(agency.table, config, chosen, hierarchies, where=name)
            table, kept = released.table, released.kept
        table, places = table.rows(kept), places[kept]
        x, y = encode(table, config, preparation, hierarchies), encode_target(table, config)
        masks = parts(places, config.split, hold_validation=True)
        examples[name] = {part: (x[mask], y[mask]) for part, mask in masks.items()}
        suppressed[name] = float(1.0 - kept.mean())
    return Prepared(examples, preparation, suppressed)
