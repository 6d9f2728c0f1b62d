"""Tables as parquet files: what is written is read, whole or not at all, by its owner only."""

from __future__ import annotations

import stat

import numpy as np
import pytest

from fl_tasks.contracts.errors import InputError, MissingInput
from fl_tasks.data.tables.table import Table, read_reasons, read_table, table_writer, texts, write_table
from tests.data.tables.declared import config

TABLE = Table({"age": np.array([1.5, np.nan]), "work": texts(["yes", ""])})


def same(one, other):
    assert list(one.columns) == list(other.columns)
    for name, values in one.columns.items():
        assert values.dtype == other.columns[name].dtype
        assert str(values.tolist()) == str(other.columns[name].tolist())


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "folder" / "a.parquet"
    write_table(path, TABLE)
    same(read_table(path), TABLE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_pieces_follow_one_another_and_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.parquet"
    with table_writer(path) as writer:
        writer.write(TABLE, ["why", "so"])
        writer.write(TABLE.rows(np.array([False, True])), ["because"])
    assert read_reasons(path) == ["why", "so", "because"]
    assert len(read_table(path)) == 3
    before = path.read_bytes()

    def fail():
        with table_writer(path) as writer:
            writer.write(TABLE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["a.parquet"]


def test_a_table_without_a_row_keeps_its_columns(tmp_path):
    empty = TABLE.rows(np.zeros(2, dtype=bool))
    write_table(tmp_path / "a.parquet", empty)
    same(read_table(tmp_path / "a.parquet"), empty)


def test_only_the_columns_asked_for_are_read_and_direct_identifiers_never(tmp_path):
    schema = config()
    columns = [column for column in schema.columns if column.column in ("id", "work")]
    write_table(tmp_path / "a.parquet", TABLE)
    assert list(read_table(tmp_path / "a.parquet", columns).columns) == ["work"]
    with pytest.raises(InputError, match="no column 'born'"):
        read_table(tmp_path / "a.parquet", schema.columns)


def test_a_file_that_is_not_there_yet_may_be_waited_for(tmp_path):
    with pytest.raises(MissingInput):
        read_table(tmp_path / "a.parquet")
    with pytest.raises(MissingInput):
        read_reasons(tmp_path / "a.parquet")


def test_columns_of_different_lengths_are_no_table():
    with pytest.raises(InputError, match="1 and 2 rows"):
        Table({"a": np.zeros(1), "b": np.zeros(2)})
