"""The benchmarks run at tiny sizes, without their peers; how long anything takes is never tested."""

from __future__ import annotations

import json

from tests.benchmarks import __main__ as bench
from tests.benchmarks import secagg
from tests.benchmarks.table import table


def test_the_benchmark_of_secure_aggregation_gives_every_row(monkeypatch, tmp_path, capsys):
    works = (secagg.Work(5, 1000, 0.0, peer=False), secagg.Work(5, 1000, 0.2, peer=False))
    real = secagg.rows
    monkeypatch.setattr(secagg, "rows", lambda say: real(say, works, secagg.Work(6, 5000, 0.0, peer=False)))
    monkeypatch.setattr(secagg, "LONG", 0.0)
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    assert bench.main(["secagg"]) == 0
    result = json.loads((tmp_path / "secagg.json").read_text())
    assert result["name"] == "secagg"
    assert [row["work"] for row in result["rows"]] == [
        {"N": 5, "d": 1000, "lost": 0.0},
        {"N": 5, "d": 1000, "lost": 0.2},
        {"N": 6, "d": 5000, "lost": 0.0, "case": "server_memory"},
    ]
    for row in result["rows"]:
        assert set(row) == {"work", "ours", "peer", "ratio", "limit_ratio"}
        assert set(row["limit_ratio"]) == {"client_mask", "server_unmask"}
        assert {"setup", "client_mask", "reveal", "server_unmask", "upload_bytes"} <= set(row["ours"])
        assert row["ours"]["upload_bytes"] < 4 * (row["work"]["d"] + 5) + 400
    assert result["rows"][-1]["ours"]["peak_bytes"] > 0
    assert table(result) in capsys.readouterr().out


def test_all_rows_are_asked_for():
    """N in {10, 50, 100, 200}, d to 1e6, also 1e7 to N = 50; Flower to N = 100 and d = 1e6."""
    asked = {(work.n, work.d, work.lost): work.peer for work in secagg.WORKS}
    sizes = [(n, d) for n in (10, 50, 100, 200) for d in (100_000, 1_000_000)] + [(10, 10_000_000), (50, 10_000_000)]
    assert set(asked) == {(n, d, lost) for n, d in sizes for lost in (0.0, 0.2)}
    assert all(peer == (n <= 100 and d <= 1_000_000) for (n, d, _), peer in asked.items())


def test_an_unknown_benchmark_is_refused_with_the_known_ones(capsys):
    assert bench.main(["nothing"]) == 2
    assert "secagg" in capsys.readouterr().out
