"""What the federated server answers: the models of its OpenAPI description."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, Field


class Server(BaseModel):
    """What runs here; the one answer that needs no key."""

    huiliu: str = Field(description="Version of this software.")
    airflow: str = Field(description="Version of Apache Airflow.")
    edge_provider: str | None = Field(description="Version of Airflow's edge provider; null: not installed.")
    protocol: int = Field(description="Version of this interface; an agency's commands refuse a server of another.")
    time: dt.datetime = Field(description="The server's clock, UTC.")


class Stored(BaseModel):
    """A message that lies in the exchange, whole and for good."""

    name: str
    bytes: int = Field(description="Its length.")
    sha256: str = Field(description="Of its content, 64 hexadecimal digits.")
    new: bool = Field(description="False if the same content was there before.")


class UploadState(BaseModel):
    """How far an upload has come."""

    offset: int = Field(description="Bytes that are stored: the upload goes on there.")
    complete: bool = Field(description="Whether the message lies in the exchange with this content.")


class Names(BaseModel):
    """Names of messages that the caller may read."""

    names: list[str] = Field(description="Sorted.")


class Refusal(BaseModel):
    """Why a request was refused, and what to do."""

    code: str = Field(description="Name of the error; the status of the answer follows from it.")
    message: str
