"""Which data interval a run gets; what the asset's events hold is Airflow's own model of them."""

import datetime as dt
import json
from types import SimpleNamespace

import pytest
from airflow.sdk.api.datamodels._generated import AssetEventDagRunReference
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor
from fl_airflow.assets import global_model
from fl_airflow.interval import run_interval

MARCH = ("2018-03-01T00:00:00-05:00", "2018-04-01T00:00:00-04:00")
APRIL = ("2018-04-01T00:00:00-04:00", "2018-05-01T00:00:00-04:00")


def event(minute: int, extra: dict) -> AssetEventDagRunReferenceResult:
    asset = global_model("traffic")
    return AssetEventDagRunReferenceResult.from_asset_event_dag_run_reference(
        AssetEventDagRunReference.model_validate(
            {
                "asset": {"name": asset.name, "uri": asset.uri, "extra": {}},
                "extra": json.loads(json.dumps(extra)),
                "source_task_id": "promote",
                "source_dag_id": "federated_retraining__traffic",
                "source_run_id": "x",
                "source_map_index": -1,
                "source_aliases": [],
                "timestamp": dt.datetime(2018, 7, 1, 12, minute, tzinfo=dt.UTC),
                "partition_key": None,
            }
        )
    )


def interval(*events, chosen=None, scheduled=(None, None)) -> tuple[str, str]:
    run = SimpleNamespace(
        data_interval_start=scheduled[0],
        data_interval_end=scheduled[1],
        logical_date=None,
        run_after=dt.datetime(2018, 7, 5, 12, tzinfo=dt.UTC),
    )
    context = {
        "params": {"interval": chosen},
        "dag_run": run,
        "triggering_asset_events": TriggeringAssetEventsAccessor.build(events),
    }
    start, end = run_interval(context, scenario="traffic", cron="@monthly", timezone="America/New_York")
    return start.isoformat(), end.isoformat()


def test_a_promotion_hands_on_its_own_interval_the_newest_if_there_are_several():
    newest = event(9, {"data_interval": APRIL})
    assert interval(event(5, {"data_interval": MARCH}), newest, event(7, {"data_interval": MARCH})) == APRIL


def test_the_runs_parameter_comes_first_and_is_local_time():
    chosen = ["2018-03-01", "2018-04-01T00:00"]
    assert interval(event(5, {"data_interval": APRIL}), chosen=chosen) == MARCH


def test_without_any_it_is_the_last_interval_that_was_over_when_the_run_was_triggered():
    june = ("2018-06-01T04:00:00+00:00", "2018-07-01T04:00:00+00:00")
    assert interval() == june
    assert interval(event(5, {})) == june  # an event that somebody made by hand
    moment = dt.datetime(2018, 7, 5, tzinfo=dt.UTC)
    assert interval(scheduled=(moment, moment)) == june  # what dag.test makes up


def test_a_scheduled_run_has_the_schedules_interval():
    scheduled = tuple(dt.datetime.fromisoformat(time) for time in MARCH)
    assert interval(scheduled=scheduled) == MARCH


@pytest.mark.parametrize("chosen", [["2018-13-01", "2018-14-01"], ["2018-03-01"], "2018"])
def test_times_that_cannot_be_read_fail_the_run_for_good(chosen):
    with pytest.raises(AirflowFailException, match="ISO 8601"):
        interval(chosen=chosen)
    with pytest.raises(AirflowFailException, match="asset"):
        interval(event(5, {"data_interval": chosen}))
