"""What the benchmark of learning says: means over agencies, ratios, and the share of the pooled model's gain."""

from __future__ import annotations

import pytest

from fl_tasks.contracts.report import ForecastMetric
from tests.benchmarks.learning import compare


def metric(mae, wis=None):
    return ForecastMetric(
        mae=1.0, rmse=1.0, n=10, last_step_mae=1.0, last_step_rmse=1.0, scaled_mae=mae, scaled_rmse=mae, scaled_wis=wis
    )


def ways(**maes):
    return {way: {"7d": metric(mae)} for way, mae in maes.items()}


def test_agencies_count_alike_and_the_gain_is_over_the_better_baseline():
    found = {
        "a": ways(federated=0.2, local_only=0.3, pooled=0.1, persistence=0.6, seasonal_naive=0.4),
        "b": ways(federated=0.4, local_only=0.5, pooled=0.3, persistence=0.8, seasonal_naive=1.0),
    }
    rows = list(compare({"scenario": "epidemic"}, found))
    assert [row["work"]["figure"] for row in rows] == ["scaled_mae", "scaled_rmse"]  # without quantiles no WIS
    row = rows[0]
    assert row["work"] == {"scenario": "epidemic", "horizon": "7d", "figure": "scaled_mae"}
    assert row["ours"]["federated"] == pytest.approx(0.3)
    assert row["ours"]["gain_of_pooled"] == pytest.approx((0.7 - 0.3) / (0.7 - 0.2))
    assert row["ratio"]["local_only"] == pytest.approx(0.4 / 0.3)


def test_where_pooled_is_no_better_than_the_baseline_there_is_no_gain_to_share():
    found = {"a": ways(federated=0.5, local_only=0.6, pooled=0.7, persistence=0.6, seasonal_naive=0.8)}
    assert next(compare({}, found))["ours"]["gain_of_pooled"] is None
