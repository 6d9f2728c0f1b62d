"""Airflow's own last question about a worker's token: may this identity act as an edge worker?"""

from __future__ import annotations

from typing import Any


def admit(claims: dict[str, Any], context: object) -> dict[str, bool]:
    """Say yes to a token whose key stands in the server's file of keys, which holds only agencies that are let in.

    The gate has held issuer, key, name and queue against each other before a request gets here.
    """
    return {"authorized": bool(claims.get("iss"))}
