"""What a stage's end means for its retries.

| the stage | the operator raises | what follows |
|---|---|---|
| exits 10: wrong for good | AirflowFailException | fails at once, whatever tries are left |
| exits 1: something is busy, or not there yet | StageNotReady | retried after retry_delay_seconds each time |
| is killed, or ends in another way | StageCrashed | retried after a delay that doubles each time |

A change violates this when a final error is tried again, or when a crash is tried again without a growing delay.
"""

from __future__ import annotations

import datetime as dt

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowException


class StageNotReady(AirflowException):
    """A stage found a lock taken or an input missing; the same call may soon succeed."""


class StageCrashed(AirflowException):
    """A stage's process was killed, broke, or left no result."""


def retry_policy(delay: dt.timedelta) -> ExceptionRetryPolicy:
    """Return the policy of all tasks; the number of tries and the doubling delay are the tasks' own settings.

    Args:
        delay: Before a stage that was not ready is tried again.
    """
    return ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=StageNotReady,
                action=RetryAction.RETRY,
                retry_delay=delay,
                reason="busy or not there yet: tried again soon",
            )
        ],
        default=RetryAction.DEFAULT,
    )
