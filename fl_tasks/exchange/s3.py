"""The exchange in a bucket of S3: a key is written only if it is not there, which the service decides.

Who may read and write what is the service's own affair: an account for each party, with a policy made from the table
in access.py. Signatures and masking hold whoever keeps the messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    SSLError,
)

from fl_tasks.contracts.connection import S3Credentials
from fl_tasks.contracts.errors import FLError, MissingInput
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.errors import ExchangeError, ExchangeFull, ExchangeUnreachable, NotTrusted, NotYours, UploadBusy
from fl_tasks.exchange.store import MOST_BYTES, conflict, is_name, missing, name_parts

_CHUNK = 2**20
_THERE = {"PreconditionFailed", "ConditionalRequestConflict"}
_GONE = {"NoSuchKey", "404"}
_FORBIDDEN = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"}
_FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "507"}
_SERVERS_FAULT = 500


class S3Exchange:
    """One space of the exchange in a bucket.

    Args:
        bucket: Its name.
        prefix: What all keys begin with; may be empty.
        credentials: Of this party's account.
        endpoint: URL of the service; None: Amazon's.
        ca_file: PEM file of whoever signed the service's certificate; None: whom the system trusts.
        space: Of which messages are read and written.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        credentials: S3Credentials,
        endpoint: str | None,
        ca_file: Path | None,
        space: Space,
    ) -> None:
        self._bucket = bucket
        self._root = f"{prefix.strip('/')}/{space.label}/".lstrip("/")
        self._where = endpoint or "Amazon S3"
        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            region_name=credentials.region,
            verify=True if ca_file is None else str(ca_file),
            config=Config(
                connect_timeout=15,
                read_timeout=60,
                retries={"mode": "standard", "max_attempts": 5},
                s3={"addressing_style": "path"},
            ),
        )

    def __repr__(self) -> str:
        return f"S3Exchange({self._where!r}, bucket={self._bucket!r}, root={self._root!r})"

    def put(self, name: str, data: bytes) -> None:
        """Write a name once, as Exchange says."""
        key = self._key(name)
        try:
            with self._errors(name, conflicts=True):
                self._client.put_object(Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*")
        except FileExistsError as error:
            there = self.find(name, len(data))
            if there is None:
                raise UploadBusy(f"{name}: another connection is sending it; try again when that has ended") from error
            if there != data:
                raise conflict(name) from error

    def get(self, name: str, most: int = MOST_BYTES) -> bytes:
        """Read a name, as Exchange says."""
        with self._errors(name):
            body = self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"]
            data = bytearray()
            try:
                while len(data) <= most and (piece := body.read(min(_CHUNK, most + 1 - len(data)))):
                    data += piece
            finally:
                body.close()
        return bytes(data)

    def find(self, name: str, most: int = MOST_BYTES) -> bytes | None:
        """Read a name as get does, or give None if it is not there."""
        try:
            return self.get(name, most)
        except MissingInput:
            return None

    def names(self, folder: str = "") -> list[str]:
        """List all names below a folder, as Exchange says."""
        prefix = f"{self._key(folder)}/" if folder else self._root
        found: list[str] = []
        with self._errors(folder):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                found += [str(entry["Key"]).removeprefix(self._root) for entry in page.get("Contents", ())]
        return sorted(name for name in found if is_name(name))

    def _key(self, name: str) -> str:
        return self._root + "/".join(name_parts(name))

    @contextmanager
    def _errors(self, name: str, *, conflicts: bool = False) -> Iterator[None]:
        """Say what a failure of the service means; with `conflicts`, FileExistsError where a key is there."""
        try:
            yield
        except ClientError as error:
            if conflicts and str(error.response["Error"].get("Code")) in _THERE:
                raise FileExistsError(name) from error
            raise self._refusal(name, error.response) from error
        except SSLError as error:
            raise NotTrusted(
                f"{self._where}: its certificate is not trusted: ca_file in connection.yaml has to be the one of the "
                "service's authority; nothing was sent"
            ) from error
        except (ConnectionClosedError, HTTPClientError, BotoCoreError) as error:
            raise ExchangeUnreachable(
                f"{self._where} cannot be reached ({type(error).__name__}): see that the service runs and that the "
                "firewall lets this machine out to it"
            ) from error

    def _refusal(self, name: str, response: dict[str, Any]) -> FLError:
        code, status = str(response["Error"].get("Code")), response["ResponseMetadata"]["HTTPStatusCode"]
        if code in _GONE:
            return missing(name)
        if code in _FORBIDDEN:
            return NotYours(
                f"{self._where} refuses {name} ({code}): see that credentials_file holds this party's own account, and "
                "that the bucket's policy admits what the table of the exchange does"
            )
        if code in _FULL:
            return ExchangeFull(f"{self._where} has no room for {name} ({code}): its operator has to make room")
        if status >= _SERVERS_FAULT:
            return ExchangeUnreachable(f"{self._where} cannot work now ({code}, status {status}); try again later")
        return ExchangeError(
            f"{self._where} refuses {name} ({code}): see whether connection.yaml names bucket and service"
        )
