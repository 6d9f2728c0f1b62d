"""How an agency reaches the coordinator's exchange: connection.yaml in the agency's own folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fl_tasks.contracts.base import Contract

SCHEMES = ("https", "s3", "sftp")


class Connection(Contract):
    """Where the exchange is. Without the file it is the folder of this installation."""

    exchange: str = Field(
        max_length=500,
        description="https://HOST[:PORT] of the coordinator's server, s3://BUCKET[/PREFIX], or "
        "sftp://USER@HOST[:PORT]/PATH.",
    )
    ca_file: Path | None = Field(
        default=None, description="https, s3: PEM file of whoever signed the server's certificate; else the system's."
    )
    credentials_file: Path | None = Field(
        default=None,
        description="s3: YAML or JSON file with access_key_id and secret_access_key. sftp: OpenSSH private key. "
        "Not of https, where the agency's exchange key signs.",
    )
    endpoint: str | None = Field(
        default=None, max_length=500, description="s3: URL of the service; by default Amazon's."
    )
    known_hosts_file: Path | None = Field(default=None, description="sftp: OpenSSH known_hosts with the server's key.")

    @property
    def scheme(self) -> str:
        """https, s3 or sftp."""
        return urlsplit(self.exchange).scheme

    def below(self, folder: Path) -> Connection:
        """The same with absolute paths: the file's are relative to the folder that it lies in."""
        paths = ("ca_file", "credentials_file", "known_hosts_file")
        found = {name: getattr(self, name) for name in paths}
        return self.model_copy(update={name: folder / path for name, path in found.items() if path is not None})

    @field_validator("exchange")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ValueError("must be an address that begins with https://, s3:// or sftp://")
        if parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no password, query or fragment; credentials stand in a file of their own")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> Connection:
        needed = {"https": (), "s3": ("credentials_file",), "sftp": ("credentials_file", "known_hosts_file")}
        admitted = {"https": ("ca_file",), "s3": ("ca_file", "endpoint"), "sftp": ()}
        for name in ("ca_file", "credentials_file", "endpoint", "known_hosts_file"):
            there = getattr(self, name) is not None
            if not there and name in needed[self.scheme]:
                raise ValueError(f"{name} is needed with {self.scheme}://")
            if there and name not in (*needed[self.scheme], *admitted[self.scheme]):
                raise ValueError(f"{name} does not belong to {self.scheme}://")
        return self


class S3Credentials(Contract):
    """An account of an S3 service."""

    access_key_id: str = Field(min_length=1)
    secret_access_key: str = Field(min_length=1, repr=False)
    region: str = Field(default="us-east-1", description="Of the bucket; services of one's own take any.")


def connection_path(folder: Path) -> Path:
    """Where a party says how it reaches the exchange."""
    return folder / "connection.yaml"


def exchange_key_path(folder: Path) -> Path:
    """Where an agency's Ed25519 key for its requests to the federated server lies."""
    return folder / "keys" / "exchange.key"
