"""A source is read in pieces: the memory it takes follows the run's span, not the size of the file or table."""

from __future__ import annotations

import datetime as dt
import gzip
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from tests.data.sources import write
from tests.servers.postgres import postgres_programs, postgres_server  # noqa: F401

ALLOWED = 32 << 20
LARGE = 4 * ALLOWED  # bytes that are read, of which the span is a few rows

# Reads the small source, so that all libraries are there, then the large one; prints what that took at its peak.
CHILD = """
import datetime as dt, pathlib, sys
from tests.data.sources import read, source

def status(field):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10

folder, changes = pathlib.Path(sys.argv[1]), eval(sys.argv[2])
for size in ("small", "large"):
    before = status("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    declared = source(**{key: value(size) if callable(value) else value for key, value in changes.items()})
    rows = len(read(folder, declared).series.times)
print(status("VmHWM") - before, rows)
"""


def peak(folder, changes):
    """Bytes beyond those of the small source that reading the large one took; both hold three rows of the span."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), changes], check=True, timeout=300, stdout=subprocess.PIPE, text=True
    )
    grown, rows = map(int, done.stdout.split())
    assert rows == 3
    return grown


OLD = dt.datetime(2011, 1, 1)
OWN = dt.datetime(2012, 3, 1)


def csv_rows(times):
    return "".join(f"{time},{','.join(['1234.567890123456'] * 60)}\n" for time in times).encode()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_csv_is_read_row_by_row(tmp_path, suffix):
    header = f"timestamp,{','.join(f's{at}' for at in range(60))}\n".encode()
    old = csv_rows(OLD + dt.timedelta(minutes=5) * step for step in range(5000))
    own = csv_rows(OWN + dt.timedelta(minutes=5) * step for step in range(3))
    pack = gzip.compress if suffix == "csv.gz" else bytes
    packed = pack(old)  # a gzip file may be several, one after the other
    for size, times in (("small", 1), ("large", LARGE // len(old) + 1)):
        with (tmp_path / f"{size}.{suffix}").open("wb") as file:
            file.write(pack(header))
            for _ in range(times):
                file.write(packed)
            file.write(pack(own))
    assert peak(tmp_path, f"{{'path': lambda size: size + '.{suffix}'}}") < ALLOWED


@pytest.mark.parametrize("groups", [1, 20])
def test_parquet_is_read_in_batches_however_large_its_row_groups_are(tmp_path, groups):
    columns = 20
    for size, rows in (("small", 1000), ("large", LARGE // 8 // (columns + 1))):
        times = np.datetime64(OLD, "us") + np.arange(rows + 3) % 1000 * np.timedelta64(5, "m")
        times[-3:] = np.datetime64(OWN, "us") + np.arange(3) * np.timedelta64(5, "m")
        values = np.random.default_rng(1).random((columns, len(times)))
        table = {"timestamp": pa.array(times)} | {f"s{at}": pa.array(row) for at, row in enumerate(values)}
        path = tmp_path / f"{size}.parquet"
        pq.write_table(
            pa.table(table), path, row_group_size=-(-len(times) // groups), compression="none", use_dictionary=False
        )
    assert path.stat().st_size > 0.9 * LARGE
    assert peak(tmp_path, "{'path': lambda size: size + '.parquet'}") < ALLOWED


def test_a_database_hands_out_its_rows_in_batches(tmp_path, postgres_server):  # noqa: F811
    url = postgres_server.url("larger_than_memory")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    # Times of a pattern: the database cannot choose the rows of the span, all of them come.
    when = "to_char(timestamp '2011-01-01' + i % 1000 * interval '5 min', 'DD.MM.YYYY HH24:MI')"
    own = "to_char(timestamp '2012-03-01' + i * interval '5 min', 'DD.MM.YYYY HH24:MI')"
    for size, rows in (("small", 100), ("large", LARGE // 1000)):
        plate = "repeat(md5(i::text), 31) AS plate"
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    f"CREATE VIEW {size} AS SELECT {when} AS timestamp, i::real AS a, {plate} "
                    f"FROM generate_series(1, {rows}) i UNION ALL "
                    f"SELECT {own}, i::real, {plate} FROM generate_series(0, 2) i"
                )
            )
    write(tmp_path, {"url": url})
    (tmp_path / "url").chmod(0o600)
    changes = (
        "{'sql': lambda size: {'url_file': 'url', 'table': size}, 'time': {'format': '%d.%m.%Y %H:%M'}, "
        "'identifiers': {'plate': 'drop'}}"
    )
    assert peak(tmp_path, changes) < ALLOWED
