"""The benchmark of local training gives a row for every way, and each way trains."""

import pytest

from tests.benchmarks import training


@pytest.mark.skipif(not (training.REPOSITORY / ".venv-fl").exists(), reason="no learning environment; run make setup")
def test_every_way_has_a_row_beside_ours(monkeypatch):
    some = {name: training.VARIANTS[name] for name in ("dataset reduce, steps looped over",)}
    monkeypatch.setattr(training, "VARIANTS", some)
    (row,) = training.rows(lambda text: None, windows=600, passes=2)
    assert row["work"] == {"windows": 600, "variant": "dataset reduce, steps looped over"}
    assert set(row["ours"]) == set(row["peer"]) == set(row["ratio"]) == {"first_pass", "pass"}
    assert min(*row["ours"].values(), *row["peer"].values()) > 0
