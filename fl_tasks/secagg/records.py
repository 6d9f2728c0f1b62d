"""JSON records signed by one party: cohort, data checks, evaluations, approvals."""

from __future__ import annotations

import json
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from fl_tasks.contracts.base import Contract, canonical_json, describe
from fl_tasks.contracts.roster import Signed
from fl_tasks.secagg.errors import MalformedMessage
from fl_tasks.secagg.wire import sign, verify

B = TypeVar("B", bound=Contract)


def sign_record(key: Ed25519PrivateKey, label: str, body: Contract) -> bytes:
    """Return a record with its signature; the same record gives the same bytes."""
    value = body.model_dump(mode="json", by_alias=True)
    return canonical_json({"body": value, "signature": sign(key, label, canonical_json(value)).hex()})


def read_record(data: bytes, public: bytes, label: str, kind: type[B]) -> B:
    """Read a record and verify who signed it.

    Raises:
        MalformedMessage: If it is no such record.
        BadSignature: If someone else signed it.
    """
    try:
        signed = Signed.model_validate_json(data)
        verify(public, bytes.fromhex(signed.signature), label, canonical_json(signed.body))
        return kind.model_validate_json(json.dumps(signed.body))
    except ValidationError as error:
        raise MalformedMessage(f"record {label}: {describe(error)}") from error
    except ValueError as error:  # canonical JSON knows neither NaN nor infinity, which JSON readers let pass
        raise MalformedMessage(f"record {label}: holds NaN or infinity") from error
