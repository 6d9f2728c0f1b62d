"""Flow tables: small counts are hidden, and neither totals nor the sign of counts give a hidden one away.

The auditor is scipy's linear programming: the attacker's interval of a hidden cell, given all that is shown.
"""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import FlowTableConfig
from fl_tasks.data.flow_table import protect, read_flow_table, write_flow_table
from fl_tasks.data.suppression import bridges, movable, suppress

CONFIG = FlowTableConfig(path="od.csv", time="t", origin="from", destination="to", count="trips")
NEW_YORK = FlowTableConfig(
    path="od.csv.gz", time="hour_index", origin="origin_zone", destination="dest_zone", count="trips"
)
HEADER = "t,from,to,trips\n"
# Mostly small, some zero, some large: the tables in which suppression is hard.
TABLES = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.sampled_from([0, 0, 0, 1, 1, 2, 4, 5, 9, 60]))
)


def totals(hidden):
    """The matrix whose product with the hidden cells gives each row's and column's total of them."""
    rows, columns = np.nonzero(hidden)
    matrix = np.zeros((sum(hidden.shape), len(rows)))
    matrix[rows, np.arange(len(rows))] = 1
    matrix[hidden.shape[0] + columns, np.arange(len(rows))] = 1
    return matrix


def pinned(counts, hidden, floor=0, every=1):
    """Hidden cells (every nth) with one value alone, for who knows the totals and that each is at least `floor`."""
    cells = np.argwhere(hidden)
    matrix = totals(hidden)
    sums = matrix @ counts[hidden]
    found = set()
    for index, cell in list(enumerate(cells.tolist()))[::every]:
        ends = []
        for sign in (1, -1):
            aim = np.zeros(len(cells))
            aim[index] = sign
            answer = linprog(aim, A_eq=matrix, b_eq=sums, bounds=(floor, None), method="highs")
            assert answer.status == 0
            ends.append(answer.fun * sign)
        if ends[1] - ends[0] < 0.5:  # the ends of such intervals are whole numbers
            found.add(tuple(cell))
    return found


def determined(hidden):
    """Hidden cells that the totals alone determine, by linear algebra: they lie in the space that the totals span."""
    matrix = totals(hidden)
    projected = np.linalg.pinv(matrix @ matrix.T, hermitian=True) @ matrix
    return np.isclose((matrix * projected).sum(axis=0), 1.0)


@settings(max_examples=80, deadline=None)
@given(TABLES)
def test_the_attackers_interval_of_a_hidden_cell_is_wider_than_a_point(counts):
    found = suppress(counts, 5)
    told = pinned(counts, found.hidden)
    # What the totals tell all the same they tell with every cell hidden, too; and it is counted.
    assert told <= pinned(counts, np.ones_like(found.hidden))
    assert found.exposed == sum(0 < counts[cell] < 5 for cell in told)


@settings(max_examples=80, deadline=None)
@given(TABLES)
def test_who_knows_that_hidden_cells_are_not_zero_learns_none_that_could_be_kept(counts):
    hidden = suppress(counts, 5).hidden
    lost = pinned(counts, counts > 0, floor=1)
    assert pinned(counts, hidden & (counts > 0), floor=1) <= lost
    assert lost or not (hidden & (counts == 0)).any()  # zeros are the last resort


@given(TABLES, st.integers(2, 7))
def test_small_counts_are_hidden_and_hidden_counts_of_a_line_sum_to_the_limit(counts, limit):
    found = suppress(counts, limit)
    small = (counts > 0) & (counts < limit)
    assert found.hidden[small].all()
    assert (found.primary, found.primary + found.complementary) == (small.sum(), found.hidden.sum())
    for table, hidden in ((counts, found.hidden), (counts.T, found.hidden.T)):
        for line, mask in zip(table, hidden, strict=True):
            assert not mask.any() or line[mask].sum() >= min(limit, line.sum())


@settings(max_examples=80, deadline=None)
@given(TABLES, st.integers(0, 2**16 - 1), st.integers(0, 1))
def test_the_criterion_is_the_auditors(counts, bits, floor):
    hidden = np.array([bits >> place & 1 for place in range(counts.size)], dtype=bool).reshape(counts.shape)
    hidden &= counts >= floor
    free = movable(counts, hidden, floor)
    assert {tuple(cell) for cell in np.argwhere(hidden & ~free).tolist()} == pinned(counts, hidden, floor)
    assert (bridges(hidden)[hidden] == determined(hidden)).all()


def test_the_auditor_sees_a_complementary_cell_shown_again():
    counts = np.array([[1, 20, 30], [40, 9, 50], [60, 70, 8]])
    hidden = suppress(counts, 5).hidden
    assert not pinned(counts, hidden)
    assert hidden.sum() == 4
    for cell in np.argwhere(hidden).tolist()[1:]:
        tampered = hidden.copy()
        tampered[tuple(cell)] = False
        assert (0, 0) in pinned(counts, tampered)


def test_the_cheapest_cells_are_taken():
    counts = np.array([[1, 20, 30], [40, 9, 50], [60, 70, 8]])
    assert np.argwhere(suppress(counts, 5).hidden).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_zeros_are_hidden_where_nothing_else_can_be():
    counts = np.array([[3, 0, 40], [0, 6, 0], [20, 0, 9]])
    assert not (suppress(counts, 5).hidden & (counts == 0)).any()
    counts = np.array([[3, 0], [0, 6]])
    found = suppress(counts, 5)
    assert found.hidden.all()
    assert (found.primary, found.complementary, found.exposed) == (1, 3, 0)
    assert not pinned(counts, found.hidden)


@pytest.mark.parametrize("counts", [[[3]], [[3, 0, 9]], [[3], [7], [0]], [[0, 0, 0], [0, 3, 0], [0, 0, 0]]])
def test_what_totals_tell_whatever_is_hidden_is_counted_as_exposed(counts):
    counts = np.array(counts)
    found = suppress(counts, 5)
    assert found.hidden[counts == 3].all()
    assert (found.primary, found.exposed) == (1, 1)
    assert not (found.hidden & (counts == 0)).any()


def test_an_empty_step_hides_nothing():
    assert not suppress(np.zeros((3, 3), dtype=np.int64), 5).hidden.any()


def deliver(folder, text, name="od.csv"):
    path = folder / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(folder, text, name="od.csv"):
    return read_flow_table(deliver(folder, text, name), CONFIG, name="agency a: od.csv")


def written(folder, table):
    path = folder / "flow_table.parquet"
    write_flow_table(path, table)
    return path


def test_each_step_is_protected_by_itself_and_hidden_zeros_become_rows(tmp_path):
    table = read(tmp_path, HEADER + "2,a,b,50\n1,a,b,3\n1,c,d,6\n2,c,d,60\n2,a,d,0\n")
    found = protect(table, 5)
    assert (found.cells, found.suppressed, found.complementary, found.exposed) == (4, 1, 3, 0)
    path = written(tmp_path, found.table)
    assert path.stat().st_mode & 0o777 == 0o600
    out = pq.ParquetFile(path).read()
    assert [tuple(row.values()) for row in out.to_pylist()] == [
        *((1, origin, destination, None) for origin in "ac" for destination in "bd"),
        *((2, "a", "b", 50), (2, "a", "d", 0), (2, "c", "d", 60)),
    ]
    assert out.schema.names == ["t", "from", "to", "trips"]
    assert [str(kind) for kind in out.schema.types] == ["int64", "string", "string", "int64"]
    assert (found.table.counts[found.table.hidden] == 0).all()


def test_the_order_and_the_kind_of_the_file_change_nothing(tmp_path):
    rows = [f"{t},{a},{b},{(7 * t + 3 * a + b) % 11}\n" for t in range(3) for a in range(4) for b in range(4)]
    first = written(tmp_path, protect(read(tmp_path, HEADER + "".join(rows)), 5).table).read_bytes()
    again = protect(read(tmp_path, HEADER + "".join(reversed(rows)), "od.csv.gz"), 5).table
    assert written(tmp_path, again).read_bytes() == first
    columns = np.array([row.strip().split(",") for row in rows], dtype=np.int64).T
    pq.write_table(pa.table(dict(zip(HEADER.strip().split(","), columns, strict=True))), tmp_path / "od.parquet")
    stored = read_flow_table(tmp_path / "od.parquet", CONFIG, name="od.parquet")
    assert written(tmp_path, protect(stored, 5).table).read_bytes() == first


def test_columns_that_are_not_declared_stay_where_they_are(tmp_path):
    table = read(tmp_path, "plate,t,from,to,trips\nB12345,1,a,b,3\nB12346,1,c,d,6\n")
    assert b"B1234" not in written(tmp_path, protect(table, 5).table).read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (HEADER, "only a header, no row"),
        ("t,from,to\n1,a,b\n", "line 1: there is no column 'trips'"),
        ("t,from,to,trips,trips\n1,a,b,7717,7717\n", "line 1: column 'trips' is named twice"),
        (HEADER + "1,a,b,7717x\n", "line 2: column 'trips': a count is no whole number"),
        (HEADER + "1,a,b,9\n1,a,c,7717.5\n", "line 3: column 'trips': a count is no whole number"),
        (HEADER + "1,a,b,-7717\n", "column 'trips': a count is negative"),
        (HEADER + "1,a,b,\n", "column 'trips': a cell is empty"),
        (HEADER + "1,,b,7717\n", "column 'from': a cell is empty"),
        (HEADER + "1,a,b,7717\n1,a,b,7717\n", "a cell is there twice"),
        (HEADER + "1,a,b,7717\n7717,a,b\n", "line 3: damaged, or cut off"),
        (HEADER + "1,a,b,9\n1.5,a,b,7717\n", "column 't': double"),
        (HEADER.encode() + b"1,a,\xff,7717\n", "not UTF-8 text"),
    ],
)
def test_a_wrong_file_is_refused_by_file_and_column_and_never_by_a_value(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith("agency a: od.csv: ")
    assert "7717" not in str(caught.value)
    assert caught.value.__cause__ is None or "7717" not in str(caught.value.__cause__)


def test_a_damaged_archive_and_a_wrong_parquet_file_are_refused(tmp_path):
    path = deliver(tmp_path, HEADER + "1,a,b,9\n" * 5000, "od.csv.gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="copy it again"):
        read_flow_table(path, CONFIG, name="od.csv.gz")
    path = deliver(tmp_path, "nothing of the kind", "od.parquet")
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read_flow_table(path, CONFIG, name="od.parquet")
    pq.write_table(pa.table({"t": [1], "from": ["a"], "to": ["b"], "trips": [1.5]}), path)
    with pytest.raises(InputError, match="column 'trips': not a column of whole numbers"):
        read_flow_table(path, CONFIG, name="od.parquet")
    pq.write_table(pa.table({"t": [1], "from": ["a"], "trips": [1]}), path)
    with pytest.raises(InputError, match="column 'to' is not there"):
        read_flow_table(path, CONFIG, name="od.parquet")


def test_new_yorks_first_week_keeps_no_cell_that_the_totals_tell(tmp_path, shared_data):
    source = shared_data / "traffic" / "new_york_taxi_od_1h_first_week.csv.gz"
    lines = np.loadtxt(source, delimiter=",", skiprows=1, dtype=np.int64)
    counts = np.zeros((168, 30, 30), dtype=np.int64)
    counts[lines[:, 0], lines[:, 1], lines[:, 2]] = lines[:, 3]
    found = protect(read_flow_table(source, NEW_YORK, name="od"), 5)
    # SOURCES.md: 111,170 cells, 44 % below 5.
    assert (found.cells, found.suppressed) == (111_170, 48_509)
    assert round(found.suppressed / found.cells, 2) == 0.44
    assert (found.complementary, found.exposed) == (330, 0)

    out = pq.ParquetFile(written(tmp_path, found.table)).read()
    shown = np.zeros_like(counts)
    hidden = np.zeros(counts.shape, dtype=bool)
    for hour, origin, destination, trips in zip(*(out.column(i).to_pylist() for i in range(4)), strict=True):
        hidden[hour, origin, destination] = trips is None
        shown[hour, origin, destination] = trips or 0
    assert (shown[~hidden] == counts[~hidden]).all()
    assert not ((shown > 0) & (shown < 5)).any()
    assert hidden.sum() == 48_509 + 330
    assert (hidden & (counts == 0)).sum() == 12
    assert not any(determined(hour).any() for hour in hidden)
    # The check is not blind: with the small cells hidden alone, the totals tell 79 of them.
    assert sum(determined((hour > 0) & (hour < 5)).sum() for hour in counts) == 79
    for axis in (1, 2):
        sums, whole = np.where(hidden, counts, 0).sum(axis=axis), counts.sum(axis=axis)
        assert (sums[hidden.any(axis=axis)] >= np.minimum(whole, 5)[hidden.any(axis=axis)]).all()
    # The quietest hour is the hardest: intervals by linear programming.
    hour = (counts > 0).sum(axis=(1, 2)).argmin()
    assert not pinned(counts[hour], hidden[hour], every=10)
