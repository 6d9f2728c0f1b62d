"""The columns of an agency's series, for lineage: time, series and value, whatever the table's form.

A wide table has a column for each series. Series that are declared one by one are told where they are delivered;
those that are taken as they come are not, nor is any other column that nobody declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fl_tasks.contracts.lineage import ColumnFact, ColumnType
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.contracts.source import FlowTableConfig, SourceConfig
from fl_tasks.stages.lineage import kept, made

TIME, SERIES, VALUE = "timestamp", "series", "value"


def delivered(source: SourceConfig) -> list[ColumnFact]:
    """Return the columns that an agency's declaration names."""
    found = [ColumnFact(name=source.time.column, type="timestamp")]
    if source.long is not None:
        found += [ColumnFact(name=source.long.series, type="text"), ColumnFact(name=source.long.value, type="number")]
    found += [ColumnFact(name=name, type="number") for name in _declared_values(source)]
    found += [ColumnFact(name=name, type="text") for name in (*source.only, *source.identifiers)]
    return list({column.name: column for column in found}.values())


def raw(source: SourceConfig, there: Iterable[str]) -> list[ColumnFact]:
    """Return the columns of raw.parquet; `there` are the identifying columns that were delivered."""
    time, long = source.time, source.long
    moved = time.format != "iso" or time.timezone is not None or source.replay_shift_weeks
    values = _declared_values(source) if long is None else (long.value,)
    return [
        made(TIME, "timestamp", "encoded" if moved else "identity", time.column),
        made(SERIES, "text", "identity", *(() if long is None else (long.series,))),
        made(VALUE, "number", "identity", *values),
        *(made(name, "text", "identity", name) for name in there if name in source.identifiers),
    ]


def deidentified(identifiers: Mapping[str, str]) -> list[ColumnFact]:
    """Return the columns of deidentified.parquet; `identifiers` that were there, each dropped or hashed."""
    return [*_grid(), *(made(name, "text", "masked", name) for name in _hashed(identifiers))]


def delivered_flows(config: FlowTableConfig) -> list[ColumnFact]:
    """Return the columns of a delivered table of trips."""
    return [
        ColumnFact(name=config.time, type="timestamp"),
        ColumnFact(name=config.origin, type="text"),
        ColumnFact(name=config.destination, type="text"),
        ColumnFact(name=config.count, type="number"),
    ]


def protected_flows(config: FlowTableConfig, *, of: int) -> list[ColumnFact]:
    """Return the columns of flow_table.parquet, in which small counts are suppressed; `of`: the input's place."""
    *labels, count = delivered_flows(config)
    return [*kept(labels, of=of), made(count.name, "number", "masked", count.name, of=of)]


def standardized(source: SourceConfig, config: SeriesConfig) -> list[ColumnFact]:
    """Return the columns of the grid."""
    time, series, value = _grid()
    if source.step_minutes != config.step_minutes:
        return [made(TIME, "timestamp", "aggregated", TIME), series, made(VALUE, "number", "aggregated", VALUE)]
    if source.source_unit != source.unit or source.cumulative or source.corrections is not None:
        value = made(VALUE, "number", "encoded", VALUE)
    return [time, series, value]


def examples() -> list[ColumnFact]:
    """Return the arrays of the examples: windows of scaled values with the calendar, and what follows each."""
    return [made("x", "number", "encoded", VALUE, TIME), made("y", "number", "encoded", VALUE)]


def forecasts(*, of: int) -> list[ColumnFact]:
    """Return the columns of a forecast; `of`: the grid's place among the inputs."""
    return [
        made(TIME, "timestamp", "encoded", TIME, of=of),
        made(SERIES, "text", "identity", SERIES, of=of),
        made("forecast", "number", "encoded", VALUE, TIME, of=of),
    ]


def _grid() -> list[ColumnFact]:
    columns: tuple[tuple[str, ColumnType], ...] = ((TIME, "timestamp"), (SERIES, "text"), (VALUE, "number"))
    return kept([ColumnFact(name=name, type=kind) for name, kind in columns])


def _declared_values(source: SourceConfig) -> tuple[str, ...]:
    """Delivered columns of values; in a long table, and where they are taken as they come, none is declared."""
    return tuple(source.values or ()) if source.long is None else ()


def _hashed(identifiers: Mapping[str, str]) -> list[str]:
    return [name for name, how in identifiers.items() if how == "hash"]
