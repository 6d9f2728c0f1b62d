"""The calls of Airflow's REST API that the server's own commands and its tests need."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from fl_airflow.server.errors import ApiError

PARTS_OF_HEALTH = {
    "api-server": "metadatabase",
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
}


class AirflowApi:
    """A client of one server; it goes straight to the server's address, whatever proxy the environment names.

    Args:
        url: Like http://127.0.0.1:8080.
        user: Whose token is asked for.
        password: The user's.
        authority: PEM file of the authority that an https server's certificate comes from.
    """

    def __init__(self, url: str, user: str, password: str, authority: Path | None = None) -> None:
        self._url = url
        self._authority = authority
        self._credentials = {"username": user, "password": password}
        self._token: str | None = None

    def __repr__(self) -> str:
        return f"AirflowApi({self._url!r}, user={self._credentials['username']!r})"

    def call(self, method: str, path: str, body: object = None, *, root: str = "/api/v2") -> Any:  # noqa: ANN401 - JSON
        """Call the API and return the answer's JSON; None if it is empty.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: Below `root`, like /dags.
            body: What to send as JSON.
            root: Where a plugin's own API lies.

        Raises:
            ApiError: If there is no answer, or its status is not a success.
        """
        if self._token is None:
            answer = request(self._url, "POST", "/auth/token", self._credentials, authority=self._authority)
            self._token = str(answer["access_token"])
        return request(self._url, method, f"{root}{path}", body, token=self._token, authority=self._authority)


def health(url: str, authority: Path | None = None) -> dict[str, str]:
    """Return the status of each part of a server, "healthy" or another word.

    Raises:
        ApiError: If the API does not answer.
    """
    answer = request(url, "GET", "/api/v2/monitor/health", authority=authority)
    return {part: str((answer.get(key) or {}).get("status")) for part, key in PARTS_OF_HEALTH.items()}


def request(
    url: str,
    method: str,
    path: str,
    body: object = None,
    *,
    token: str | None = None,
    authority: Path | None = None,
    seconds: float = 30.0,
) -> Any:  # noqa: ANN401 - any JSON
    """Send one HTTP request with JSON and return the answer's JSON; None if it is empty.

    An https server's certificate has to come from `authority`, a PEM file, and from no other.

    Raises:
        ApiError: If there is no answer within so many seconds, or its status is not a success.
    """
    parts = urlsplit(url)
    connection = _connection(parts, authority, seconds)
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body)
    try:
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ApiError(f"{method} {url}{path}: no answer ({error}); `make up` starts the server") from error
    finally:
        connection.close()
    if not 200 <= response.status < 300:
        raise ApiError(
            f"{method} {url}{path}: status {response.status}: {answer[:500].decode(errors='replace')}", response.status
        )
    return json.loads(answer) if answer else None


def _connection(parts: SplitResult, authority: Path | None, seconds: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port, timeout=seconds)
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ApiError(f"{authority} cannot be read ({error}); it is made with the server's certificate") from error
    return http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
