"""The exchange over HTTP: what an agency asks the coordinator's federated server for, signing each request."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.contracts.errors import FLError, MissingInput
from fl_tasks.exchange import errors, versions
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.digests import digest_header
from fl_tasks.exchange.errors import (
    ExchangeError,
    ExchangeUnreachable,
    NotTrusted,
    UploadBroken,
    UploadBusy,
    WrongOffset,
)
from fl_tasks.exchange.store import MOST_BYTES, name_parts
from fl_tasks.exchange.tokens import EXCHANGE_AUDIENCE, sign_token

T = TypeVar("T")

_TIMEOUT = httpx.Timeout(60.0, connect=15.0)
# Seconds before each further try, half of it by chance; in all longer than the server waits for a silent sender.
_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_CHUNK = 2**20
# Of longer messages it is asked first how much of them is there: nothing is sent in vain.
_ASK_FROM = 2**20
_MOST_TEXT = 1000
# Raised under the same name as at the server.
_REFUSALS: dict[str, type[FLError]] = {
    kind.__name__: kind
    for kind in (MissingInput, *vars(errors).values())
    if isinstance(kind, type) and issubclass(kind, ExchangeError | MissingInput)
}


class HttpExchange:
    """One space of the exchange, as an agency reaches it from outside.

    Args:
        url: https://HOST[:PORT][/PREFIX] of the coordinator's Airflow.
        ca_file: PEM file of whoever signed the server's certificate; None: whom the system trusts.
        agency: Who asks.
        key: Its exchange key, which signs every request.
        space: Of which messages are read and written.
    """

    def __init__(self, url: str, ca_file: Path | None, agency: str, key: Ed25519PrivateKey, space: Space) -> None:
        self._url = url
        self._agency = agency
        self._key = key
        self._path = f"federation/v1/{space.kind}/{quote(space.name, safe='')}"
        try:
            context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise NotTrusted(
                f"{ca_file}: cannot be read as PEM certificates; ask the coordinator for its CA"
            ) from error
        self._client = httpx.Client(
            base_url=url,
            verify=context,
            timeout=_TIMEOUT,
            trust_env=False,
            # As they are: an answer that broke off goes on at a byte.
            headers={"Accept-Encoding": "identity", versions.HEADER: versions.own()},
        )

    def __repr__(self) -> str:
        return f"HttpExchange({self._url!r}, agency={self._agency!r}, path={self._path!r})"

    def put(self, name: str, data: bytes) -> None:
        """Write a name once, as Exchange says; a connection that breaks off is taken up where it was."""
        place = "/".join(name_parts(name))
        sha256 = hashlib.sha256(data).hexdigest()
        asks = len(data) >= _ASK_FROM

        def send() -> None:
            nonlocal asks
            offset = 0
            if asks:
                state = self._ask("GET", f"uploads/{sha256}/{place}").json()
                if state["complete"]:
                    return
                offset = min(int(state["offset"]), len(data))
            asks = True  # whatever becomes of this try, the next one goes on with it
            length = {"Content-Length": str(len(data) - offset)}
            body = _pieces(data, offset)
            if offset == 0:
                headers = length | {"Repr-Digest": digest_header(sha256)}
                self._ask("PUT", f"files/{place}", headers, body)
            else:
                headers = length | {
                    "Content-Type": "application/partial-upload",
                    "Upload-Offset": str(offset),
                    "Upload-Complete": "?1",
                }
                self._ask("PATCH", f"uploads/{sha256}/{place}", headers, body)

        self._patiently(send)

    def get(self, name: str, most: int = MOST_BYTES) -> bytes:
        """Read a name, as Exchange says; a connection that breaks off is taken up where it was."""
        place = "/".join(name_parts(name))
        data = bytearray()
        version = ""

        def fetch() -> bytes:
            nonlocal version
            headers = {"Range": f"bytes={len(data)}-", "If-Range": version} if data else {}
            with self._stream("GET", f"files/{place}", headers) as answer:
                if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                    data.clear()
                version = answer.headers.get("ETag", "")
                for piece in answer.iter_raw():
                    data.extend(piece)
                    if len(data) > most:
                        break
            del data[most + 1 :]
            return bytes(data)

        return self._patiently(fetch)

    def find(self, name: str, most: int = MOST_BYTES) -> bytes | None:
        """Read a name as get does, or give None if it is not there."""
        try:
            return self.get(name, most)
        except MissingInput:
            return None

    def names(self, folder: str = "") -> list[str]:
        """List all names below a folder that this agency may read, sorted."""
        where = f"files?folder={quote('/'.join(name_parts(folder)), safe='')}" if folder else "files"
        answer = self._patiently(lambda: self._ask("GET", where))
        return [str(name) for name in answer.json()["names"]]

    def close(self) -> None:
        """Close the connections that are kept for further requests."""
        self._client.close()

    def _ask(
        self, method: str, place: str, headers: Mapping[str, str] | None = None, content: Iterator[bytes] | None = None
    ) -> httpx.Response:
        """Send one request and return its whole answer."""
        with self._stream(method, place, headers, content) as answer:
            answer.read()
            return answer

    @contextmanager
    def _stream(
        self, method: str, place: str, headers: Mapping[str, str] | None = None, content: Iterator[bytes] | None = None
    ) -> Iterator[httpx.Response]:
        """Send one request; raises what the server refused it with, or why there is no answer."""
        token = sign_token(self._agency, self._key, EXCHANGE_AUDIENCE, _now())
        signed = {**(headers or {}), "Authorization": f"Bearer {token}"}
        try:
            with self._client.stream(method, f"{self._path}/{place}", headers=signed, content=content) as answer:
                if answer.status_code >= httpx.codes.MULTIPLE_CHOICES:
                    answer.read()
                    raise self._refusal(answer)
                yield answer
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _refusal(self, answer: httpx.Response) -> FLError:
        """Return the error that an answer tells of."""
        try:
            said = answer.json()
            code, text = str(said["code"]), str(said["message"])[:_MOST_TEXT]
        except (ValueError, KeyError, TypeError):
            return self._not_ours(answer.status_code)
        kind = _REFUSALS.get(code)
        return ExchangeError(f"{self._url} refused: {code}: {text}") if kind is None else kind(text)

    def _not_ours(self, status: int) -> ExchangeError:
        """Return the error for an answer that the federated server did not write."""
        if status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS) or status >= 500:
            return ExchangeUnreachable(f"{self._url} answers with status {status}: it cannot work now; try again later")
        return ExchangeError(
            f"{self._url} answers with status {status}, as no federated server does: see whether the address in "
            "connection.yaml is right, and whether the coordinator has switched its federated server on"
        )

    def _unreachable(self, error: httpx.TransportError) -> ExchangeError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return NotTrusted(
                    f"{self._url}: its certificate is not trusted ({cause.verify_message}): ca_file in connection.yaml "
                    "has to be the one that the coordinator gave; nothing was sent"
                )
            cause = cause.__cause__ or cause.__context__
        return ExchangeUnreachable(
            f"{self._url} cannot be reached ({type(error).__name__}): see that the coordinator's server runs and that "
            "the firewall lets this machine out to it"
        )

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do what may go well at a further try, with growing waits between."""
        for wait in _WAITS:
            try:
                return work()
            except (ExchangeUnreachable, UploadBroken, UploadBusy, WrongOffset):
                time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads tries, is no secret
        return work()


def _pieces(data: bytes, offset: int) -> Iterator[bytes]:
    """The rest of a message, without a copy of all of it."""
    view = memoryview(data)
    return (bytes(view[start : start + _CHUNK]) for start in range(offset, len(data), _CHUNK))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
