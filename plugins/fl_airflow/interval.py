"""Which data interval a run is about."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from airflow.sdk.exceptions import AirflowFailException

from fl_airflow.assets import global_model

if TYPE_CHECKING:
    from airflow.sdk import Context

Interval = tuple[dt.datetime, dt.datetime]


def run_interval(context: Context, *, scenario: str, cron: str, timezone: str) -> Interval:
    """Return a run's data interval: the first that there is of

    1. the run's parameter `interval`,
    2. that of the promoted model whose asset event started the run (the newest, if there are several),
    3. the scheduled one,
    4. the last interval of the scenario's schedule that was over when the run was triggered.

    Args:
        context: The task's.
        scenario: Whose asset may have started the run.
        cron: The scenario's schedule.
        timezone: IANA name; times without a UTC offset are local times of it.

    Raises:
        AirflowFailException: If a time cannot be read.
    """
    zone = ZoneInfo(timezone)
    chosen = context["params"].get("interval")
    if chosen is not None:
        return _read(chosen, zone, "parameter interval")
    run = context["dag_run"]
    asset = global_model(scenario)
    events = [event for event in context["triggering_asset_events"].get(asset) or () if "data_interval" in event.extra]
    if events:
        newest = max(events, key=lambda event: event.timestamp)
        return _read(newest.extra["data_interval"], zone, f"asset {asset.name}: data_interval")
    start, end = run.data_interval_start, run.data_interval_end
    if start is not None and end is not None and start < end:
        return start, end
    return last_closed(run.logical_date or run.run_after, cron, timezone)


def _read(times: object, zone: ZoneInfo, what: str) -> Interval:
    try:
        start, end = (dt.datetime.fromisoformat(time) for time in cast(list[str], times))
    except (TypeError, ValueError) as error:
        raise AirflowFailException(f"{what}: needed are two ISO 8601 times, like 2012-03-01 and 2012-04-01") from error
    return _zoned(start, zone), _zoned(end, zone)


def _zoned(time: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    return time if time.tzinfo else time.replace(tzinfo=zone)


def last_closed(moment: dt.datetime, cron: str, timezone: str) -> Interval:
    """Return the last interval of a schedule that was over at a moment."""
    from airflow.timetables.interval import CronDataIntervalTimetable  # noqa: PLC0415 - not at parse time
    from pendulum import instance  # noqa: PLC0415

    interval = CronDataIntervalTimetable(cron, timezone=timezone).infer_manual_data_interval(run_after=instance(moment))
    return interval.start, interval.end
