"""Starting a retraining before its month is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk.exceptions import AirflowSkipException

from fl_airflow.interval import last_closed, run_interval

if TYPE_CHECKING:
    from airflow.sdk import Context

_UNFINISHED = ["queued", "running"]


class EarlyRetrainingOperator(TriggerDagRunOperator):
    """Start a scenario's retraining on as long a span as its schedule's last interval, up to the watch's own end.

    It is started once in an interval of its schedule, by the name of its run, and never beside another one.

    Args:
        retraining: Name of the DAG.
        scenario: Whose it is.
        watched: The watch's own schedule.
        cron: The retraining's schedule.
        timezone: IANA name.
    """

    def __init__(
        self,
        *,
        retraining: str,
        scenario: str,
        watched: str,
        cron: str,
        timezone: str,
        **kwargs: Any,  # noqa: ANN401 - BaseOperator's own
    ) -> None:
        super().__init__(
            trigger_dag_id=retraining,
            logical_date=None,
            skip_when_already_exists=True,
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.scenario = scenario
        self.watched = watched
        self.cron = cron
        self.timezone = timezone

    def execute(self, context: Context) -> None:
        """Start it.

        Raises:
            AirflowSkipException: If a retraining is under way; the next watch looks again.
        """
        if context["ti"].get_dr_count(dag_id=self.trigger_dag_id, states=_UNFINISHED):
            raise AirflowSkipException(f"a run of {self.trigger_dag_id} is under way: no other is started beside it")
        _, end = run_interval(context, scenario=self.scenario, cron=self.watched, timezone=self.timezone)
        before, since = last_closed(end, self.cron, self.timezone)
        self.trigger_run_id = f"drift__{since.isoformat()}"
        self.conf = {"interval": [(end - (since - before)).isoformat(), end.isoformat()]}
        super().execute(context)
