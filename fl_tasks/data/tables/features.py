"""What the model sees of a de-identified row: labels of the agreed levels, scaled numbers, values one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import ConfigError, InputError
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.table_config import TableColumn, TableConfig
from fl_tasks.data.tables.table import Table


class Labelled(Protocol):
    """One level of a hierarchy."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What a release writes for each group of the level, in the hierarchy's order."""


class Generalization(Protocol):
    """A column's hierarchy: fl_tasks.anonymize.hierarchy.Hierarchy."""

    @property
    def levels(self) -> Sequence[Labelled]:
        """From the values themselves up to `*`."""


Hierarchies = Mapping[str, Generalization]


def feature_names(config: TableConfig, levels: Mapping[str, int], hierarchies: Hierarchies) -> tuple[str, ...]:
    """Return what the model sees of a row, in order.

    A quasi-identifier is one feature `column=label` for each label of its level, and none where all are one; a
    number is `column`; a category `column=value` for each of its values; what may be missing ends in `column?`,
    1 where it is missing.

    Args:
        config: The schema. Not of pictures.
        levels: Quasi-identifier -> level of its hierarchy.
        hierarchies: Column -> its hierarchy.

    Raises:
        ConfigError: If a level is missing or too high, or no column is seen.
    """
    names: list[str] = []
    for column in _seen(config):
        if column.role != "quasi_identifier" and column.kind == "numeric":
            names.append(column.column)
        else:
            names += [f"{column.column}={label}" for label in shown_labels(column, levels, hierarchies)]
        if column.optional and column.role != "quasi_identifier":
            names.append(f"{column.column}?")
    if not names:
        raise ConfigError("columns: the model would see nothing of a row; use a feature, or a finer level")
    return tuple(names)


def shown_labels(column: TableColumn, levels: Mapping[str, int], hierarchies: Hierarchies) -> tuple[str, ...]:
    """Return the texts that a categorical column, or a generalized one, can hold; none where all are alike.

    Raises:
        ConfigError: If a quasi-identifier's level is missing or too high.
    """
    if column.role != "quasi_identifier":
        return column.values or ()
    known, level = hierarchies[column.column].levels, levels.get(column.column)
    if level is None or not 0 <= level < len(known):
        raise ConfigError(
            f"column {column.column!r}: level {level}; the hierarchy has levels 0 to {len(known) - 1}: agencies and "
            "coordinator need the same hierarchies"
        )
    labels = known[level].labels
    return labels if len(labels) > 1 else ()


def encode(
    table: Table, config: TableConfig, preparation: Preparation, hierarchies: Hierarchies
) -> NDArray[np.float32]:
    """Return what the model sees of each row, shape (n, F), float32, exactly in the order of preparation.features.

    Args:
        table: De-identified: quasi-identifiers hold labels of the agreed levels.
        config: The schema.
        preparation: Levels, scales and features agreed on.
        hierarchies: Column -> its hierarchy.

    Raises:
        ConfigError: If the schema or the hierarchies here do not give the preparation's features, or a scale is
            missing.
        InputError: If a column holds a text that is none of its labels; the row, from 1, is named.
    """
    names = feature_names(config, preparation.levels, hierarchies)
    if names != preparation.features:
        raise ConfigError(
            f"{len(preparation.features)} features were agreed on, this schema gives {len(names)}, or others: bring "
            "the scenario's YAML and hierarchies to the same version everywhere"
        )
    x = np.zeros((len(table), len(names)), dtype=np.float32)
    at = 0
    for column in _seen(config):
        at = _fill(x, at, table.columns[column.column], column, preparation, hierarchies)
    return x


def encode_pictures(table: Table, config: TableConfig) -> NDArray[np.float32]:
    """Return the rows' pictures, shape (n, side, side, 1), float32, from 0 to 1.

    Resized bilinearly with the corners' centres half a pixel inside, as tf.image.resize does.

    Raises:
        ConfigError: If the scenario's rows are no pictures.
    """
    image = config.image
    if image is None:
        raise ConfigError("data.image: the rows are no pictures; declare height, width and side")
    pixels = np.stack([table.columns[column.column] for column in config.of("feature")], axis=1)
    pictures = (pixels / image.maximum).reshape(len(table), image.height, image.width)
    down, across = _weights(image.height, image.side), _weights(image.width, image.side)
    return np.asarray(down @ pictures @ across.T, dtype=np.float32)[..., np.newaxis]


def encode_target(table: Table, config: TableConfig) -> NDArray[np.float32]:
    """Return each row's class, one-hot, shape (n, C), float32.

    Raises:
        InputError: If a row is of no class; the row, from 1, is named.
    """
    codes = codes_of(table.columns[config.target.column], config.classes, config.target.column)
    return np.eye(len(config.classes), dtype=np.float32)[codes]


def codes_of(values: NDArray[Any], labels: Sequence[str], column: str) -> NDArray[np.int64]:
    """Return each text's place among the labels, shape (n,).

    Raises:
        InputError: If a text is none of them; the row, from 1, is named.
    """
    place = {label: code for code, label in enumerate(labels)}
    codes = np.fromiter((place.get(value, -1) for value in values), dtype=np.int64, count=len(values))
    if (codes < 0).any():
        raise InputError(
            f"column {column!r}: row {int(np.argmax(codes < 0)) + 1}: its text is none that the scenario knows; "
            "start a new run"
        )
    return codes


def _seen(config: TableConfig) -> Iterator[TableColumn]:
    return (column for column in config.columns if column.seen)


def _fill(
    x: NDArray[np.float32],
    at: int,
    values: NDArray[Any],
    column: TableColumn,
    preparation: Preparation,
    hierarchies: Hierarchies,
) -> int:
    """Write one column's features, beginning at feature `at`; returns where the next one begins."""
    optional = column.optional and column.role != "quasi_identifier"
    if column.role != "quasi_identifier" and column.kind == "numeric":
        scale = preparation.scales.get(column.column)
        if scale is None:
            raise ConfigError(f"column {column.column!r}: no scale was agreed on; a new survey is needed")
        missing, width = np.isnan(values), 1
        x[:, at] = np.where(missing, 0.0, (values - scale.mean) / scale.std)
    else:
        labels = shown_labels(column, preparation.levels, hierarchies)
        missing, width = np.asarray(values == "", dtype=bool), len(labels)
        if width:
            there = np.flatnonzero(~missing) if optional else np.arange(len(values))
            x[there, at + codes_of(values[there], labels, column.column)] = 1.0
    if optional:
        x[:, at + width] = missing
    return at + width + optional


def _weights(given: int, wanted: int) -> NDArray[np.float64]:
    """Return bilinear weights, shape (wanted, given), of each given pixel in each wanted one."""
    places = np.clip((np.arange(wanted) + 0.5) * given / wanted - 0.5, 0.0, given - 1.0)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, given - 1)
    weights = np.zeros((wanted, given))
    rows = np.arange(wanted)
    weights[rows, below] += 1.0 - (places - below)
    weights[rows, above] += places - below
    return weights
