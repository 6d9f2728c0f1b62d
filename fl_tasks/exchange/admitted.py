"""Whom the coordinator lets in: one file an agency, and what a token has to show.

Files below `coordinator/admitted/`: `<agency>.json`, and `jwks.json` with the Airflow keys of all who are let in.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AwareDatetime, Field, ValidationError

from fl_tasks.contracts.base import Contract, describe, locked, write_atomic
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import Card
from fl_tasks.exchange.errors import (
    AdmissionExpired,
    AgencyRevoked,
    ClockSkewed,
    NotAdmitted,
    TokenExpired,
    TokenRefused,
    WrongKey,
)

Purpose = Literal["exchange", "airflow"]

MOST_SECONDS = 120
"""Longest time from a token's `iat` to its `exp`."""

LEEWAY_SECONDS = 30
"""By how much the clocks of agency and coordinator may differ."""

# A token that is older was not delayed on its way: one of the clocks is wrong.
_DELAY_SECONDS = 300
_KEY_ID = re.compile(r"([a-z][a-z0-9_]{0,62})\.[0-9a-f]{16}")
_MOST_TOKEN = 4096


class Admitted(Contract):
    """One agency that the coordinator let in."""

    card: Card
    admitted: AwareDatetime
    expires: AwareDatetime | None = Field(default=None, description="From then on it is refused; null: never.")
    revoked: AwareDatetime | None = Field(default=None, description="From then on it is refused.")

    def is_in(self, now: dt.datetime) -> bool:
        """Whether the agency is let in at a moment."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def key(self, purpose: Purpose) -> str:
        """The public key of a purpose, 64 hexadecimal digits."""
        key = self.card.exchange_key if purpose == "exchange" else self.card.airflow_key
        assert key is not None  # admit() takes no card without both
        return key


def admitted_folder(home: Home) -> Path:
    """Where it is written who is let in."""
    return home.coordinator / "admitted"


def jwks_path(home: Home) -> Path:
    """The JSON Web Key Set with the Airflow keys of all who are let in, written anew at each change."""
    return admitted_folder(home) / "jwks.json"


def key_id(agency: str, public_hex: str) -> str:
    """Return the `kid` of an agency's key: its name, a dot, and 16 hexadecimal digits of the key's SHA-256."""
    return f"{agency}.{hashlib.sha256(bytes.fromhex(public_hex)).hexdigest()[:16]}"


def admit(home: Home, card: Card, *, expires: dt.datetime | None, now: dt.datetime) -> Admitted:
    """Let an agency in, by the keys of its card. An earlier card's keys are refused from then on.

    Raises:
        ConfigError: If the card lacks a key, or the admission would be over before it begins.
    """
    if card.exchange_key is None or card.airflow_key is None:
        raise ConfigError(
            f"the card of {card.name} lacks its exchange key or its Airflow key: run `fl agency init` there with this "
            "version and admit the new card"
        )
    if card.name == jwks_path(home).stem:
        raise ConfigError(f"an agency cannot be called {card.name}: its file would be that of the key set")
    if expires is not None and expires <= now:
        raise ConfigError(f"the admission of {card.name} would end at {expires.isoformat()}, which is past")
    found = Admitted(card=card, admitted=now, expires=expires)
    _write(home, found, now)
    return found


def revoke(home: Home, agency: str, now: dt.datetime) -> Admitted:
    """Take an agency's admission back, from its very next request on.

    Raises:
        NotAdmitted: If it was never admitted.
    """
    found = _read(home, agency)
    if found.revoked is None:
        found = found.model_copy(update={"revoked": now})
        _write(home, found, now)
    return found


def admitted(home: Home) -> dict[str, Admitted]:
    """Return agency -> admission, of all that were ever admitted, sorted by name."""
    files = (path for path in admitted_folder(home).glob("*.json") if path != jwks_path(home))
    return {path.stem: _read(home, path.stem) for path in sorted(files)}


def check_token(home: Home, token: str, *, purpose: Purpose, audience: str, now: dt.datetime) -> Admitted:
    """Find out which agency a token is from, and that it is let in.

    Args:
        home: The coordinator's installation.
        token: As it stood behind `Bearer`.
        purpose: Which of the agency's keys has to have signed it.
        audience: What the token has to be for.
        now: By the coordinator's clock.

    Raises:
        NotAdmitted: If no agency of this name was admitted.
        WrongKey: If another key signed it.
        AgencyRevoked: If the agency's admission was taken back.
        AdmissionExpired: If it has ended by itself.
        ClockSkewed: If the token's times show that the clocks differ.
        TokenExpired: If it came too late.
        TokenRefused: If it is no such token at all.
    """
    agency, kid = _signer(token)
    found = _read(home, agency)
    if kid != key_id(agency, found.key(purpose)):
        raise _wrong_key(agency)
    claims = _claims(token, agency, Ed25519PublicKey.from_public_bytes(bytes.fromhex(found.key(purpose))), audience)
    # Only now: the state of an agency's admission is told to the agency alone.
    if found.revoked is not None:
        raise AgencyRevoked(
            f"the admission of {agency} was taken back on {found.revoked}; ask the coordinator, who can admit it anew"
        )
    if not found.is_in(now):
        raise AdmissionExpired(
            f"the admission of {agency} ended on {found.expires}; ask the coordinator, who can admit it anew"
        )
    _check_times(agency, claims, now)
    return found


def _read(home: Home, agency: str) -> Admitted:
    path = admitted_folder(home) / f"{agency}.json"
    try:
        if path == jwks_path(home):
            raise FileNotFoundError
        return Admitted.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NotAdmitted(
            f"agency {agency} is not admitted here: the coordinator runs `fl coordinator admit` with its card"
        ) from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}; admit the agency anew") from error


def _write(home: Home, found: Admitted, now: dt.datetime) -> None:
    folder = admitted_folder(home)
    with locked(folder / ".lock"):
        write_atomic(folder / f"{found.card.name}.json", found.model_dump_json(indent=1).encode())
        keys = [_jwk(name, one.key("airflow")) for name, one in admitted(home).items() if one.is_in(now)]
        write_atomic(jwks_path(home), json.dumps({"keys": keys}, indent=1).encode())


def _jwk(agency: str, public_hex: str) -> dict[str, str]:
    x = base64.urlsafe_b64encode(bytes.fromhex(public_hex)).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key_id(agency, public_hex), "x": x}


def _signer(token: str) -> tuple[str, str]:
    """Read whose key a token claims to be signed with; nothing of it is believed yet."""
    if not token or len(token) > _MOST_TOKEN:
        raise TokenRefused(f"a token of {len(token)} characters: needed is `Authorization: Bearer` with the agency's")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise TokenRefused("not a JSON Web Token; needed is one that the agency's own key signed") from error
    kid = header.get("kid")
    match = _KEY_ID.fullmatch(kid) if isinstance(kid, str) else None
    if header.get("alg") != "EdDSA" or match is None:
        raise TokenRefused("a token of another kind; needed is EdDSA, with `kid` <agency>.<16 hexadecimal digits>")
    return match[1], match[0]


def _claims(token: str, agency: str, key: Ed25519PublicKey, audience: str) -> Mapping[str, object]:
    """Verify a token's signature, and what it says of its sender and purpose."""
    # Times are held against our own clock below, where an error can say by how much they differ.
    try:
        claims: dict[str, object] = jwt.decode(
            token,
            key,
            algorithms=["EdDSA"],
            audience=audience,
            issuer=agency,
            options={
                "require": ["iss", "aud", "iat", "exp"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.InvalidSignatureError as error:
        raise _wrong_key(agency) from error
    except jwt.InvalidTokenError as error:
        raise TokenRefused(
            f"a token of {agency} for another purpose or issuer: needed is audience {audience}"
        ) from error
    if claims.get("sub", agency) != agency:
        raise TokenRefused(f"a token of {agency} that names another agency as its subject")
    return claims


def _check_times(agency: str, claims: Mapping[str, object], now: dt.datetime) -> None:
    issued, ends = claims["iat"], claims["exp"]
    if not isinstance(issued, int | float) or not isinstance(ends, int | float):
        raise TokenRefused(f"a token of {agency} whose times are no numbers")
    if not 0 < ends - issued <= MOST_SECONDS:
        raise TokenRefused(f"a token of {agency} for {ends - issued:.0f} seconds; admitted are at most {MOST_SECONDS}")
    ahead = issued - now.timestamp()
    clocks = "set both clocks by a time server (timedatectl); nothing is wrong with the keys"
    if ahead > LEEWAY_SECONDS:
        raise ClockSkewed(
            f"the clock of {agency} is {ahead:.0f} seconds ahead of the coordinator's, admitted are {LEEWAY_SECONDS}: "
            f"{clocks}"
        )
    if now.timestamp() - ends <= LEEWAY_SECONDS:
        return
    if -ahead > _DELAY_SECONDS:
        raise ClockSkewed(
            f"the clock of {agency} is {-ahead:.0f} seconds behind the coordinator's, admitted are {LEEWAY_SECONDS}: "
            f"{clocks}"
        )
    raise TokenExpired(
        f"the token of {agency} is {-ahead:.0f} seconds old and was good for {ends - issued:.0f}: sign a new one for "
        f"each request, and see whether the clocks differ by as much"
    )


def _wrong_key(agency: str) -> WrongKey:
    return WrongKey(
        f"the token is not signed with the key of {agency} that was admitted: if its keys were made anew, the "
        "coordinator has to admit the new card; if they were not, somebody else uses its name"
    )
