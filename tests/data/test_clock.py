"""Times of another zone, or with a UTC offset, become wall time of the scenario's zone, also when its clock changes."""

from __future__ import annotations

import datetime as dt
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from fl_tasks.contracts.data import RowCounts
from fl_tasks.contracts.errors import ConfigError, InputError
from fl_tasks.data.standardize import standardize
from tests.data import sources
from tests.data.examples import config
from tests.data.sources import source, write
from tests.servers.postgres import postgres_programs, postgres_server  # noqa: F401

NEW_YORK = "America/New_York"
ROME = "Europe/Rome"
# Each is the UTC hour at which the clock changes, and what the wall shows from three hours before it on.
AUTUMN = [
    (NEW_YORK, dt.datetime(2018, 11, 4, 6), [23, 0, 1, 1, 2, 3]),
    (ROME, dt.datetime(2018, 10, 28, 1), [0, 1, 2, 2, 3, 4]),
]
SPRING = [
    (NEW_YORK, dt.datetime(2018, 3, 11, 7), [23, 0, 1, 3, 4, 5]),
    (ROME, dt.datetime(2018, 3, 25, 1), [23, 0, 1, 3, 4, 5]),
]
HOUR = dt.timedelta(hours=1)
EVER = None


def hours(change):
    return [change + step * HOUR for step in range(-3, 3)]


def read(folder, cells, zone, span=EVER, **time):
    rows = "".join(f"{cell},{value}\n" for value, cell in enumerate(cells, 1))
    write(folder, {"speed.csv": f"timestamp,a\n{rows}"})
    return sources.read(folder, source(step_minutes=60, time=time), span, zone=zone).series


def wall(raw):
    return [time.hour for time in raw.times.tolist()]


def grid(raw):
    return standardize(raw, source(step_minutes=60), config(step_minutes=60))


@pytest.mark.parametrize(("zone", "change", "shown"), AUTUMN + SPRING)
@pytest.mark.parametrize(
    ("written", "time"),
    [
        (lambda moment: f"{moment}", {"timezone": "UTC"}),
        (lambda moment: f"{moment.isoformat()}Z", {"timezone": "offset"}),
        (lambda moment: f"{moment + 8 * HOUR}+08:00", {"timezone": "offset"}),
        (lambda moment: f"{moment + 8 * HOUR}", {"timezone": "Asia/Shanghai"}),
        (
            lambda moment: f"{moment - 5 * HOUR:%d/%m/%Y %H:%M -0500}",
            {"timezone": "offset", "format": "%d/%m/%Y %H:%M %z"},
        ),
    ],
)
def test_an_instant_becomes_what_the_wall_of_the_scenario_shows(tmp_path, zone, change, shown, written, time):
    raw = read(tmp_path, [written(moment) for moment in hours(change)], zone, **time)
    assert wall(raw) == shown
    assert raw.values.ravel().tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("zone", "change", "shown"), AUTUMN)
def test_the_hour_that_comes_twice_merges_for_a_source_in_utc_as_for_one_in_local_time(tmp_path, zone, change, shown):
    utc = grid(read(tmp_path, hours(change), zone, timezone="UTC"))
    midnight = dt.datetime.combine(change, dt.time()) - (HOUR if shown[0] == 23 else 0 * HOUR)
    walls = [
        midnight.replace(hour=hour) if hour == 23 else dt.datetime.combine(change, dt.time(hour)) for hour in shown
    ]
    local = grid(read(tmp_path, walls, zone))
    for done in (utc, local):
        np.testing.assert_array_equal(done.grid.values[:, 0], [1, 2, 3.5, 5, 6])
        assert done.record.rows == RowCounts(rows_in=6, rows_out=5, quarantined=0, merged=1)
        assert (done.record.conflicting, done.record.missing_rows) == (1, 0)
    np.testing.assert_array_equal(utc.grid.times, local.grid.times)


@pytest.mark.parametrize(("zone", "change", "shown"), SPRING)
def test_the_hour_that_is_left_out_is_a_gap_for_a_source_in_utc(tmp_path, zone, change, shown):
    done = grid(read(tmp_path, hours(change), zone, timezone="UTC"))
    np.testing.assert_array_equal(done.grid.values[:, 0], [1, 2, 3, np.nan, 4, 5, 6])
    assert done.record.rows == RowCounts(rows_in=6, rows_out=6, quarantined=0, merged=0)
    assert done.record.missing_rows == 1


def test_an_hour_that_the_sources_own_clock_repeats_counts_as_the_first_and_the_second_is_a_gap(tmp_path):
    """A source in New York, a scenario in Shanghai, whose clock is never changed: 01:00 there is 13:00, then 14:00."""
    cells = [f"2018-11-04 {hour:02d}:00" for hour in (0, 1, 1, 2)]
    done = grid(read(tmp_path, cells, "Asia/Shanghai", timezone=NEW_YORK))
    np.testing.assert_array_equal(done.grid.values[:, 0], [1, 2.5, np.nan, 4])
    assert done.grid.times[0].item() == dt.datetime(2018, 11, 4, 12)
    assert (done.record.rows.merged, done.record.missing_rows) == (1, 1)


@pytest.mark.parametrize(("zone", "day"), [(NEW_YORK, "2018-03-11"), (ROME, "2018-03-25")])
def test_a_time_that_the_sources_zone_leaves_out_is_refused_with_its_line(tmp_path, zone, day):
    cells = [f"{day} 01:30", f"{day} 02:30"]
    with pytest.raises(InputError, match=rf"speed\.csv: line 3: column 'timestamp' does not exist in {zone}") as caught:
        read(tmp_path, cells, "Asia/Shanghai", timezone=zone)
    assert "02:30" not in str(caught.value)
    assert len(read(tmp_path, cells, "Asia/Shanghai", timezone="Etc/GMT+5").times) == 2


def test_a_span_is_of_the_scenarios_wall_and_a_replay_moves_after_the_conversion(tmp_path):
    span = (dt.datetime(2018, 3, 1), dt.datetime(2018, 4, 1))
    # Rome: an hour before UTC in winter, two in summer.
    cells = ["2018-02-28 22:00", "2018-02-28 23:00", "2018-03-31 21:00", "2018-03-31 22:00"]
    assert read(tmp_path, cells, ROME, span, timezone="UTC").values.ravel().tolist() == [2, 3]
    rows = "".join(f"{cell},1\n" for cell in cells)
    write(tmp_path, {"speed.csv": f"timestamp,a\n{rows}"})
    # Moved back over the change of the clock, a row keeps its wall time: 23:00 on the 31st, not 22:00.
    declared = source(step_minutes=60, time={"timezone": "UTC"}, replay_shift_weeks=-4)
    moved = sources.read(tmp_path, declared, (dt.datetime(2018, 3, 3), dt.datetime(2018, 3, 4)), zone=ROME).series
    assert moved.times.tolist() == [dt.datetime(2018, 3, 3, 23)]


def test_an_index_counts_steps_of_its_own_zone(tmp_path):
    start = dt.datetime(2018, 11, 4, 3)
    raw = read(tmp_path, range(6), NEW_YORK, timezone="UTC", format="index", start=start)
    assert wall(raw) == [23, 0, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("cell", "zone", "expected"),
    [
        ("2018-03-01 00:00", "offset", "carries no UTC offset"),
        ("2018-03-01T00:00Z", "UTC", "carries a UTC offset, but time.timezone names a zone"),
        ("2018-03-01T00:00+01:00", None, "carries a UTC offset; local wall time"),
        ("0001-01-01T00:00+14:00", "offset", "is a time beyond the calendar"),
    ],
)
def test_a_time_that_is_not_written_as_declared_is_refused(tmp_path, cell, zone, expected):
    with pytest.raises(InputError) as caught:
        read(tmp_path, [cell], ROME, timezone=zone)
    assert str(caught.value).startswith(f"speed.csv: line 2: column 'timestamp' {expected}")


def test_the_zone_of_the_scenario_is_needed_only_where_times_are_converted(tmp_path):
    assert len(read(tmp_path, ["2018-03-01"], None).times) == 1
    with pytest.raises(ConfigError, match=r"time\.timezone: times of UTC cannot be read without the scenario's zone"):
        read(tmp_path, ["2018-03-01"], None, timezone="UTC")


@pytest.mark.parametrize(
    "kind", [pa.timestamp("ns", "UTC"), pa.timestamp("ms", "Asia/Shanghai"), pa.timestamp("s", "+05:00")]
)
def test_parquet_timestamps_with_a_zone_are_instants(tmp_path, kind):
    zone, change, shown = AUTUMN[0]
    cells = pa.array([moment.replace(tzinfo=dt.UTC) for moment in hours(change)], kind)
    pq.write_table(pa.table({"timestamp": cells, "a": range(1, 7)}), tmp_path / "speed.parquet")
    declared = source("speed.parquet", step_minutes=60, time={"timezone": "offset"})
    assert wall(sources.read(tmp_path, declared, None, zone=zone).series) == shown
    naive = declared.model_copy(update={"time": declared.time.model_copy(update={"timezone": "UTC"})})
    with pytest.raises(InputError, match=r"speed\.parquet: column 'timestamp' has a time zone"):
        sources.read(tmp_path, naive, None, zone=zone)


def test_parquet_timestamps_without_a_zone_are_of_the_declared_one(tmp_path):
    zone, change, shown = SPRING[1]
    pq.write_table(pa.table({"timestamp": hours(change), "a": range(1, 7)}), tmp_path / "speed.parquet")
    declared = source("speed.parquet", step_minutes=60, time={"timezone": "UTC"})
    assert wall(sources.read(tmp_path, declared, None, zone=zone).series) == shown
    offsets = declared.model_copy(update={"time": declared.time.model_copy(update={"timezone": "offset"})})
    with pytest.raises(InputError, match=r"speed\.parquet: column 'timestamp' has no time zone"):
        sources.read(tmp_path, offsets, None, zone=zone)


MARCH = (dt.datetime(2018, 3, 1), dt.datetime(2018, 4, 1))
EDGES = ["2018-02-28 22:00", "2018-02-28 23:00", "2018-03-31 21:00", "2018-03-31 22:00"]  # of March in Rome, in UTC


@pytest.mark.parametrize(("end", "zone"), [("", "UTC"), ("+00:00", "offset"), ("Z", "offset")])
def test_sqlite_gives_the_rows_of_the_span_of_the_scenarios_wall(tmp_path, end, zone):
    connection = sqlite3.connect(tmp_path / "speed.db")
    connection.execute("CREATE TABLE speed (timestamp TEXT, a REAL)")
    connection.executemany("INSERT INTO speed VALUES (?, ?)", [(edge + end, at) for at, edge in enumerate(EDGES)])
    connection.commit()
    connection.close()
    write(tmp_path, {"url": "sqlite:///speed.db\n"})
    (tmp_path / "url").chmod(0o600)
    declared = source(sql={"url_file": "url", "table": "speed"}, time={"timezone": zone})
    assert sources.read(tmp_path, declared, MARCH, zone=ROME).series.values.ravel().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "zone"), [("timestamptz", "offset"), ("timestamp", "UTC"), ("timestamp", "offset"), ("timestamptz", "UTC")]
)
def test_postgres_gives_the_rows_of_the_span_of_the_scenarios_wall(tmp_path, postgres_server, kind, zone):  # noqa: F811
    url = postgres_server.url(f"clock_{kind}_{zone.lower()}")
    values = ", ".join(f"('{edge}+00'::{kind}, {at})" for at, edge in enumerate(EDGES))
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("SET TIME ZONE 'UTC'"))
        connection.execute(sa.text(f"CREATE TABLE speed AS SELECT * FROM (VALUES {values}) v(timestamp, a)"))
    write(tmp_path, {"url": f"{url}\n"})
    (tmp_path / "url").chmod(0o600)
    declared = source(sql={"url_file": "url", "table": "speed"}, time={"timezone": zone})
    if (kind, zone) in {("timestamptz", "offset"), ("timestamp", "UTC")}:
        assert sources.read(tmp_path, declared, MARCH, zone=ROME).series.values.ravel().tolist() == [1, 2]
    else:
        has = "a" if kind == "timestamptz" else "no"
        with pytest.raises(InputError, match=f"table speed: column 'timestamp' has {has} time zone"):
            sources.read(tmp_path, declared, MARCH, zone=ROME)


def test_minneapolis_has_no_row_in_an_hour_that_its_clock_leaves_out(shared_data, tmp_path):
    """Its file is local time: read as such, every time exists, and the scenario's UTC tells summer from winter."""
    (tmp_path / "speed.csv.gz").write_bytes((shared_data / "traffic" / "minneapolis_i94_volume_1h.csv.gz").read_bytes())
    declared = source(
        "speed.csv.gz",
        time={"column": "date_time", "format": "%Y/%m/%d %H:%M", "timezone": "America/Chicago"},
        values={"traffic_volume": "i94"},
        source_unit="vehicles/h",
        unit="vehicles/h",
        step_minutes=60,
        maximum=12000.0,
    )
    raw = sources.read(tmp_path, declared, None, zone="UTC").series
    assert len(raw.times) == 48204
    done = standardize(raw, declared, config(step_minutes=60))
    # The four hours that come twice were delivered once each; the same rows merge as in local time.
    assert done.record.rows.merged == 7629
    assert raw.times.min().item() == dt.datetime(2012, 10, 2, 14)
    assert raw.times.max().item() == dt.datetime(2018, 10, 1, 4)
