"""Who may ask what of Airflow's API, as pure functions: a request in, what has to hold out.

Two parts of the API are open to agencies. Their workers fetch tasks from the worker API, with a token that the
agency's own key signs: name, queue and job have to be the agency's. Their tasks use the execution API, with a token
that Airflow made for one task: Airflow holds it to the task for a part of the calls only, and would let it read
connections and variables, write another task's XCom and start runs, and by calls about itself skip other tasks, update
assets, and have the coordinator make an object of a class of its choice.
"""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from dataclasses import dataclass

from fl_tasks.exchange.errors import NotYours

_TRY, _MAP = r"(?P<try_number>\d{1,9})", r"(?P<map_index>-?\d{1,9})"
_JOB = rf"(?P<dag_id>[^/]+)/(?P<task_id>[^/]+)/(?P<run_id>[^/]+)/{_TRY}/{_MAP}"
_STATES = {"running", "success", "failed"}
# What a task of an agency says and asks of itself. Not among them: to skip others, which Airflow lets any task do.
_OF_ITSELF = {
    ("PATCH", "run"),
    ("PATCH", "state"),
    ("PUT", "heartbeat"),
    ("PUT", "rtif"),
    ("GET", "previous-successful-dagrun"),
    ("GET", "validate-inlets-and-outlets"),
}
# A deferred task would go on in the coordinator's triggerer, by a class and arguments of the task's choice.
_ENDS = ("success", "failed", "skipped", "up_for_retry", "up_for_reschedule")
_WHEN = ("start_date", "end_date", "reschedule_date")
# As far as a scenario's retries may lie apart. With times that it cannot add up the scheduler leaves a whole run alone.
_MOST_SECONDS = 86_400.0
# By these Airflow knows a value that is to become an object again in whoever reads it.
_OBJECTS = {"__classname__", "__type", "__var"}


@dataclass(frozen=True)
class Job:
    """A task's try as the worker API names it."""

    dag_id: str
    task_id: str
    run_id: str
    try_number: int
    map_index: int


@dataclass(frozen=True)
class Caller:
    """Who is at the worker API.

    Attributes:
        agency: Whose key signed the token; also its worker's name.
        queue: The one that the agency has in the federation folder.
    """

    agency: str
    queue: str


def needs_body(method: str, path: str) -> bool:
    """Say whether the rules of the worker API look into a request's body."""
    return re.fullmatch(r"worker/[^/]+|jobs/fetch/[^/]+", path) is not None and method in ("POST", "PATCH")


def is_log(method: str, path: str) -> bool:
    """Say whether a request of the worker API brings a task's log, which is answered and never kept.

    An agency's logs stay at home, but Airflow's worker sends the error text of a failed job whatever its settings, and
    says that the job has failed only once that was taken (`EdgeWorker.fetch_and_run_job`, Edge provider 3).
    """
    return method == "POST" and path.startswith("logs/push/")


def check_worker_request(caller: Caller, method: str, path: str, body: object) -> Job | None:
    """Hold a request to the worker API against its caller.

    Args:
        caller: Who asks.
        method: Upper-case.
        path: Below /edge_worker/v1/, decoded once, as Airflow's router sees it.
        body: The decoded JSON where `needs_body`, else None.

    Returns:
        The job that has to be the caller's, if the request is about one.

    Raises:
        NotYours: If the request is not one of the worker's own.
    """
    if found := re.fullmatch(r"worker/([^/]+)", path):
        if method not in ("POST", "PATCH"):
            raise NotYours(f"{method} of a worker: an agency's worker registers and tells its state, nothing else")
        _own_name(caller, found[1])
        _own_queue(caller, body)
        return None
    if found := re.fullmatch(r"jobs/fetch/([^/]+)", path):
        _own_name(caller, found[1])
        _own_queue(caller, body)
        return None
    if (found := re.fullmatch(rf"jobs/state/{_JOB}/([a-z_]+)", path)) and found[6] in _STATES:
        return _job(found)
    if found := re.fullmatch(rf"logs/push/{_JOB}", path):
        return _job(found)
    raise NotYours(f"{method} {path.split('/', maxsplit=1)[0]!r}: is no call of an agency's worker")


def check_task_request(
    method: str,
    path: str,
    task_instance: str,
    *,
    agency: str | None,
    task: tuple[str, str, str] | None,
    query: bytes,
    body: object,
    now: dt.datetime,
) -> None:
    """Hold a request to the execution API against the task of an agency that makes it.

    Args:
        method: Upper-case.
        path: Below /execution/, decoded once, as Airflow's router sees it.
        task_instance: Id of the task instance in the token.
        agency: Whose queue the task is on; None if it is nobody's any more.
        task: Its (dag_id, run_id, task_id); None if it is another by now, as after a retry.
        query: What stands behind the path's question mark.
        body: The decoded JSON of a PATCH, PUT or POST, else None.
        now: By the coordinator's clock.

    Raises:
        NotYours: If it is about anything but that task, or tells of it what no task of an agency does.
    """
    words = path.split("/")
    if words[:2] == ["task-instances", task_instance] and (method, "/".join(words[2:])) in _OF_ITSELF:
        if words[2] in ("run", "state"):
            _own_state(words[2], body, agency, now)
        return
    if words[0] == "xcoms" and task is not None and tuple(words[1:4]) == task and not {".", ".."} & set(words):
        if method == "POST":
            _own_result(words[4:], query, body)
        return
    raise NotYours(f"{method} {words[0]!r}: a task of an agency reaches its own state and XCom, nothing else")


def _own_state(call: str, body: object, agency: str | None, now: dt.datetime) -> None:
    told = body if isinstance(body, dict) else {}
    for name in _WHEN:
        if name in told and not _is_near(told[name], now):
            raise NotYours(f"{name} {told[name]!r:.50}: needed is a time with its offset, at most a day from now")
    if call == "run":
        # Airflow asks whatever stands here for the task's log. Its worker gives its own name, the agency's.
        if agency is None or told.get("hostname") != agency:
            raise NotYours(f"hostname {told.get('hostname')!r:.50}: needed is the worker's name, {agency}")
        return
    if told.get("state") not in _ENDS:
        raise NotYours(f"state {told.get('state')!r:.50}: a task of an agency ends as one of {', '.join(_ENDS)}")
    if told.get("task_outlets") or told.get("outlet_events"):
        raise NotYours("assets: a task of an agency updates none")
    delay = told.get("retry_delay_seconds")
    if delay is not None and not (type(delay) in (int, float) and 0 <= delay <= _MOST_SECONDS):
        raise NotYours(f"retry_delay_seconds {delay!r:.50}: needed is a number from 0 to {_MOST_SECONDS:.0f}")


def _is_near(time: object, now: dt.datetime) -> bool:
    with suppress(ValueError, TypeError, OverflowError):
        return abs((dt.datetime.fromisoformat(str(time)) - now).total_seconds()) <= _MOST_SECONDS
    return False


def _own_result(key: list[str], query: bytes, body: object) -> None:
    """Hold an XCom against the one that stages leave.

    Text could be read as JSON once more, by Airflow's UI; by a query it could become the whole run's result.
    """
    if key != ["return_value"] or query or not isinstance(body, dict):
        raise NotYours("XCom: a task of an agency leaves its result, a JSON object, as return_value")
    left: list[object] = [body]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if found := _OBJECTS & value.keys():
                raise NotYours(f"XCom with {min(found)!r}: a task of an agency leaves plain JSON")
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)


def _own_name(caller: Caller, name: str) -> None:
    if name != caller.agency:
        raise NotYours(f"worker {name!r}: the token is {caller.agency}'s, whose worker has that name")


def _own_queue(caller: Caller, body: object) -> None:
    if not isinstance(body, dict):
        raise NotYours("the body must be a JSON object with the worker's queues")
    if body.get("queues") != [caller.queue]:
        raise NotYours(f"queues {body.get('queues')!r}: {caller.agency} has the queue {caller.queue!r}, and no other")
    if body.get("team_name") is not None:
        raise NotYours("team_name: an agency belongs to no team of the server")


def _job(found: re.Match[str]) -> Job:
    return Job(
        dag_id=found["dag_id"],
        task_id=found["task_id"],
        run_id=found["run_id"],
        try_number=int(found["try_number"]),
        map_index=int(found["map_index"]),
    )
