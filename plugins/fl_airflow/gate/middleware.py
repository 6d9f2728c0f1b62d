"""The gate as a middleware of Airflow's API server: every request passes it before Airflow looks at it.

What agencies do not use (the UI, the public API) passes untouched: there Airflow's own users log in.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from anyio.to_thread import run_sync

from fl_airflow.edge import EDGE_EXECUTOR, TASK_API, TOKEN_AUDIENCE, WORKER_API
from fl_airflow.gate.lookups import Federation, TrustedKeys, job_of, task_of
from fl_airflow.gate.rules import Caller, check_task_request, check_worker_request, is_log, needs_body
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.admitted import check_token, jwks_path
from fl_tasks.exchange.errors import ExchangeError, NotYours

log = logging.getLogger("huiliu.gate")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_MOST_WORKER_BYTES = 64 * 1024
_MOST_TASK_BYTES = 1024 * 1024  # a StageResult
# Health checks name nobody.
_OPEN = ("health", "ping")


class Gate:
    """The middleware.

    Args:
        app: What it stands before.
        home: The coordinator's home folder, with the agencies that are let in.
        federation: The folder with agencies/, for their queues.
    """

    def __init__(self, app: App, home: Path, federation: Path) -> None:
        self._app = app
        self._home = Home(home)
        self._federation = Federation(federation)
        self._keys = TrustedKeys(jwks_path(self._home))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, answer it with 403 and a reason, or take a log and forget it.

        500 if our own files cannot be read: a task asks again then, and after a 403 it would not.
        """
        # Decoded, as Airflow's router takes it: what is quoted otherwise still means the same call.
        called = scope.get("path", "")
        part = next((part for part in (WORKER_API, TASK_API) if called.startswith(part)), None)
        path = called.removeprefix(part or "")
        if scope["type"] != "http" or part is None or path in _OPEN:
            await self._app(scope, receive, send)
            return
        try:
            if part == TASK_API:
                receive = await self._check_task(scope, path, receive)
            else:
                receive = await self._check_worker(scope, path, receive)
        except FLError as error:
            # The path is quoted: whoever asks could otherwise write lines of our log.
            log.warning("refused: %s %.200r: %s: %s", scope["method"], path, error.code, error)
            status, message = 403, str(error)
            if not isinstance(error, ExchangeError):  # our own files, whose places are not the caller's to know
                status, message = 500, "the server's own files are not as they should be; its log says which"
            await _answer(send, status, json.dumps({"detail": {"code": error.code, "message": message}}).encode())
            return
        if part == WORKER_API and is_log(scope["method"], path):
            log.warning("dropped, unread: %.200r: an agency's logs stay there (AIRFLOW__EDGE__PUSH_LOGS=False)", path)
            await _answer(send, 204)
            return
        await self._app(scope, receive, send)

    async def _check_worker(self, scope: Scope, path: str, receive: Receive) -> Receive:
        caller = await run_sync(self._caller, _header(scope, b"authorization").removeprefix("Bearer "))
        body = None
        if needs_body(scope["method"], path):
            body, receive = await _json(receive, _MOST_WORKER_BYTES)
        job = check_worker_request(caller, scope["method"], path, body)
        if job is not None:
            found = await run_sync(job_of, job)
            if found != (caller.queue, caller.agency):
                raise NotYours(f"job {job.task_id!r} of {job.dag_id!r}: {caller.agency}'s worker has no such job")
        return receive

    def _caller(self, token: str) -> Caller:
        self._keys.refresh()
        now = dt.datetime.now(dt.UTC)
        agency = check_token(self._home, token, purpose="airflow", audience=TOKEN_AUDIENCE, now=now).card.name
        queue = self._federation.queues().get(agency)
        if queue is None:
            raise NotYours(f"{agency} is let in but has no YAML in the server's federation folder, and so no queue")
        return Caller(agency, queue)

    async def _check_task(self, scope: Scope, path: str, receive: Receive) -> Receive:
        """Hold a task's request against the task, unless it is the coordinator's; Airflow checks the signature later.

        Who holds a token of a task that there never was, or of an agency's former try, gets nothing but Airflow's word
        on that task.
        """
        task_instance = _subject(_header(scope, b"authorization").removeprefix("Bearer "))
        if task_instance is None:
            return receive  # no token of a task: Airflow refuses it
        task = await run_sync(task_of, task_instance)
        queue = None if task is None else task.queue
        agency = await run_sync(self._agency_of, queue)
        is_coordinators = task is not None and task.executor != EDGE_EXECUTOR and agency is None
        if is_coordinators or path.split("/")[:2] == ["connection-tests", task_instance]:
            return receive
        body = None
        if scope["method"] in ("PATCH", "PUT", "POST"):
            body, receive = await _json(receive, _MOST_TASK_BYTES)
        check_task_request(
            scope["method"],
            path,
            task_instance,
            agency=agency,
            task=None if task is None else task.names,
            query=scope.get("query_string", b""),
            body=body,
            now=dt.datetime.now(dt.UTC),
        )
        return receive

    def _agency_of(self, queue: str | None) -> str | None:
        return next((agency for agency, own in self._federation.queues().items() if own == queue), None)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _subject(token: str) -> str | None:
    """Return whom a token names, unchecked; None if it is no task instance."""
    with suppress(ValueError, IndexError, KeyError, TypeError, AttributeError):
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(UUID(claims["sub"]))
    return None


async def _json(receive: Receive, most: int) -> tuple[object, Receive]:
    """Return a body of at most so many bytes, decoded, and a `receive` that gives it once more."""
    content = await _read(receive, most)
    try:
        return json.loads(content), _again(content, receive)
    except (ValueError, RecursionError) as error:
        raise NotYours("the body must be JSON") from error


async def _read(receive: Receive, most: int) -> bytes:
    content, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise NotYours("the connection was cut before the body ended")
        content += message.get("body", b"")
        more = message.get("more_body", False)
        if len(content) > most:
            raise NotYours(f"a body of more than {most} bytes: neither a worker nor a task sends that much")
    return content


def _again(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body which was read already, then goes on as before."""
    given = False

    async def wrapped() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": content, "more_body": False}

    return wrapped


async def _answer(send: Send, status: int, body: bytes = b"") -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())] if body else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
