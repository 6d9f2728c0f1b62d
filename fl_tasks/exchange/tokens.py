"""An agency's signature under a request: a JSON Web Token that its own Ed25519 key signs, for a minute."""

from __future__ import annotations

import datetime as dt

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.exchange.admitted import key_id

EXCHANGE_AUDIENCE = "huiliu-exchange"
"""Audience of the tokens with which agencies use the exchange."""

_SECONDS = 60


def sign_token(agency: str, key: Ed25519PrivateKey, audience: str, now: dt.datetime) -> str:
    """Return a token that shows for a minute which agency sends a request.

    Args:
        agency: Whose; issuer and subject.
        key: The agency's.
        audience: What the token is for: it is good for nothing else.
        now: By the agency's own clock.
    """
    issued = int(now.timestamp())
    claims = {"iss": agency, "sub": agency, "aud": audience, "iat": issued, "exp": issued + _SECONDS}
    kid = key_id(agency, key.public_key().public_bytes_raw().hex())
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": kid})
