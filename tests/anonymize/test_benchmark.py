"""The benchmark of de-identification runs at tiny sizes, without its peers; how long anything takes is never tested."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import anonymize, anonymize_tables
from tests.benchmarks.table import table


def test_the_benchmark_gives_every_row(monkeypatch, tmp_path, capsys):
    works = tuple(
        anonymize.Work(500, 5, method, case) for method in ("mondrian", "lattice") for case in ("ordinary", "worst")
    )
    real = anonymize.rows
    monkeypatch.setattr(anonymize, "rows", lambda say: real(say, works, peers=False))
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    assert bench.main(["anonymize"]) == 0
    result = json.loads((tmp_path / "anonymize.json").read_text())
    assert [(row["work"]["method"], row["work"]["case"]) for row in result["rows"]] == [
        (work.method, work.case) for work in works
    ]
    for row in result["rows"]:
        assert set(row) == {"work", "ours", "peer", "ratio", "limit_ratio"}
        assert {"rows", "k", "method", "case"} <= set(row["work"])
        assert {"cpu", "wall", "classes", "suppressed", "ncp", "peak_bytes", "data_bytes"} <= set(row["ours"])
        assert row["ours"]["suppressed"] <= 0.05 * 500
    assert table(result) in capsys.readouterr().out


def test_all_rows_are_asked_for():
    """30k, 300k and 1M rows, k = 5 and 10, ordinary and worst case, both methods; a slow peer is left out."""
    assert len(anonymize.WORKS) == len(set(anonymize.WORKS)) == 3 * 2 * 2 * 2
    assert {(work.rows, work.k) for work in anonymize.WORKS} == {
        (rows, k) for rows in (30_000, 300_000, 1_000_000) for k in (5, 10)
    }
    assert all(work.peer for work in anonymize.WORKS if work.rows == 30_000)


@pytest.mark.parametrize("rows", [1000, 40_000])
def test_the_made_up_table_takes_adults_place_where_it_is_not(monkeypatch, tmp_path, rows):
    monkeypatch.setattr(anonymize_tables, "SHARED", tmp_path)
    made = anonymize_tables.ordinary(rows)
    assert made.source == "made up"
    assert {len(column) for column in made.columns.values()} == {rows}
    assert len(made.columns) == len(made.hierarchies) == 6
