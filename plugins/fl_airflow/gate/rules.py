"""Who may ask what of Airflow's API, as pure functions: a request in, what has to hold out.

Two parts of the API are open to agencies. Their workers fetch tasks from the worker API, with a token that the
agency's own key signs: name, queue and job have to be the agency's. Their tasks use the execution API, with a token
that Airflow made for one task: Airflow holds it to the task for a part of the calls only, and would let it read
connections and variables, write another task's XCom and start runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fl_tasks.exchange.errors import NotYours

_TRY, _MAP = r"(?P<try_number>\d+)", r"(?P<map_index>-?\d+)"
_JOB = rf"(?P<dag_id>[^/]+)/(?P<task_id>[^/]+)/(?P<run_id>[^/]+)/{_TRY}/{_MAP}"
_STATES = {"running", "success", "failed"}


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
    if found := re.fullmatch(rf"logs/logfile_path/{_JOB}", path):
        return _job(found)
    if path.startswith("logs/push/"):
        raise NotYours("logs stay at the agency: set AIRFLOW__EDGE__PUSH_LOGS=False at the worker")
    raise NotYours(f"{method} {path.split('/', maxsplit=1)[0]!r}: is no call of an agency's worker")


def check_task_request(method: str, path: str, task_instance: str, task: tuple[str, str, str]) -> None:
    """Hold a request to the execution API against the task of an agency that makes it.

    Args:
        method: Upper-case.
        path: Below /execution/, decoded once, as Airflow's router sees it.
        task_instance: Id of the task instance in the token.
        task: Its (dag_id, run_id, task_id).

    Raises:
        NotYours: If it is about anything but that task.
    """
    words = path.split("/")
    if {".", ".."} & set(words):
        raise NotYours(f"{method} {words[0]!r}: a path with . or .. is none of the API's")
    if words[0] in ("task-instances", "store") and task_instance in (words[1:2], words[2:3])[words[0] == "store"]:
        return
    if words[0] == "xcoms" and tuple(words[1:4]) == task:
        return
    raise NotYours(f"{method} {words[0]!r}: a task of an agency reaches its own state and XCom, nothing else")


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
