"""Who is let in, by which keys, and what a token has to show; Airflow's tokens are judged alike."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import Card
from fl_tasks.exchange.admitted import admit, admitted, check_token, jwks_path, key_id, revoke
from fl_tasks.exchange.errors import (
    AdmissionExpired,
    AgencyRevoked,
    ClockSkewed,
    NotAdmitted,
    TokenExpired,
    TokenRefused,
    WrongKey,
)
from fl_tasks.exchange.tokens import EXCHANGE_AUDIENCE, sign_token
from tests.exchange.federated_server import Agency

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def east(home) -> Agency:
    agency = Agency("east")
    admit(home, agency.card, expires=NOW + DAY, now=NOW - DAY)
    return agency


def check(home, token, *, now=NOW, purpose="exchange", audience=EXCHANGE_AUDIENCE):
    return check_token(home, token, purpose=purpose, audience=audience, now=now)


def signed(agency, *, key=None, now=NOW, audience=EXCHANGE_AUDIENCE) -> str:
    return sign_token(agency.name, key or agency.key, audience, now)


def made(agency, algorithm="EdDSA", key=None, kid=None, **claims) -> str:
    """A token of any content, with the agency's own key unless said otherwise."""
    start = int(NOW.timestamp())
    body = {"iss": "east", "sub": "east", "aud": EXCHANGE_AUDIENCE, "iat": start, "exp": start + 60, **claims}
    key = agency.key if algorithm == "EdDSA" and key is None else key
    kid = kid or key_id("east", agency.key.public_key().public_bytes_raw().hex())
    left = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(left, key, algorithm=algorithm, headers={"kid": kid})


def test_a_token_shows_who_sent_it(home, east):
    assert check(home, signed(east)).card == east.card


def test_each_key_is_good_for_its_own_purpose_alone(home, east):
    token = signed(east, key=east.airflow_key, audience="api")
    assert check(home, token, purpose="airflow", audience="api").card.name == "east"
    with pytest.raises(WrongKey):
        check(home, token, audience="api")
    with pytest.raises(WrongKey):
        check(home, signed(east, audience="api"), purpose="airflow", audience="api")
    with pytest.raises(TokenRefused, match=f"needed is audience {EXCHANGE_AUDIENCE}"):
        check(home, signed(east, audience="api"))


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iss": "west"}, TokenRefused),
        ({"sub": "west"}, TokenRefused),
        ({"aud": "other"}, TokenRefused),
        ({"exp": None}, TokenRefused),
        ({"iat": None}, TokenRefused),
        ({"exp": int(NOW.timestamp()) + 121}, TokenRefused),
        ({"exp": int(NOW.timestamp()) - 1}, TokenRefused),
        ({"iat": "now"}, TokenRefused),
    ],
)
def test_a_token_of_other_claims_is_refused(home, east, claims, error):
    assert check(home, made(east)).card.name == "east"
    with pytest.raises(error) as caught:
        check(home, made(east, **claims))
    assert type(caught.value) is error


def test_only_ed25519_signatures_count(home, east):
    public = east.key.public_key().public_bytes_raw().hex()
    for algorithm, key in (("HS256", public), ("none", None)):
        with pytest.raises(TokenRefused):
            check(home, made(east, algorithm, key))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 5000, "..", "eyJhbGciOiJFZERTQSJ9.e30.AA"])
def test_what_is_no_token_is_refused(home, east, token):
    with pytest.raises(TokenRefused):
        check(home, token)


@pytest.mark.parametrize("agency", ["../east", "jwks", "east/x", ""])
def test_no_file_but_an_agencys_is_opened_for_a_token(home, east, agency):
    (home.coordinator / "east.json").write_bytes((home.coordinator / "admitted" / "east.json").read_bytes())
    with pytest.raises(TokenRefused):
        check(home, made(east, kid=f"{agency}.0123456789abcdef"))


def test_another_key_under_the_admitted_ones_name_is_refused(home, east):
    """Even one that says the admitted key's id."""
    with pytest.raises(WrongKey, match="somebody else uses its name"):
        check(home, made(east, key=Ed25519PrivateKey.generate()))


def test_the_admitted_key_under_the_id_of_another_is_refused(home, east):
    """Logs and the key set name a key by its id: it has to be the one that signed."""
    with pytest.raises(WrongKey):
        check(home, made(east, kid="east.0000000000000000"))


def test_who_was_never_admitted_is_told_so(home, east):
    with pytest.raises(NotAdmitted, match="fl coordinator admit"):
        check(home, signed(Agency("west")))


def test_rotation_refuses_the_old_keys_from_then_on(home, east):
    new = Agency("east")
    admit(home, new.card, expires=None, now=NOW)
    assert check(home, signed(new)).expires is None
    with pytest.raises(WrongKey):
        check(home, signed(east))


def test_revoked_and_expired_agencies_are_refused_and_can_be_admitted_anew(home, east):
    with pytest.raises(AdmissionExpired):
        check(home, signed(east, now=NOW + DAY), now=NOW + DAY)
    assert revoke(home, "east", NOW).revoked == NOW
    assert revoke(home, "east", NOW + DAY).revoked == NOW
    with pytest.raises(AgencyRevoked):
        check(home, signed(east))
    admit(home, east.card, expires=None, now=NOW)
    check(home, signed(east))
    with pytest.raises(NotAdmitted):
        revoke(home, "west", NOW)


def test_a_strangers_key_learns_nothing_of_an_admission(home, east):
    revoke(home, "east", NOW)
    with pytest.raises(WrongKey):
        check(home, made(east, key=Ed25519PrivateKey.generate()))


@pytest.mark.parametrize(
    ("seconds", "error", "said"),
    [
        (30, None, ""),
        (-90, None, ""),
        (31, ClockSkewed, "31 seconds ahead"),
        (600, ClockSkewed, "600 seconds ahead"),
        (-91, TokenExpired, "91 seconds old"),
        (-300, TokenExpired, "300 seconds old"),
        (-301, ClockSkewed, "301 seconds behind"),
        (-600, ClockSkewed, "600 seconds behind"),
    ],
)
def test_an_agencys_clock_may_differ_by_the_leeway(home, east, seconds, error, said):
    token = signed(east, now=NOW + dt.timedelta(seconds=seconds))
    if error is None:
        check(home, token)
        return
    with pytest.raises(error, match=said):
        check(home, token)


def test_the_key_set_has_the_airflow_keys_of_who_is_let_in(home, east):
    west = Agency("west")
    admit(home, west.card, expires=None, now=NOW)
    keys = {key["kid"]: key for key in json.loads(jwks_path(home).read_bytes())["keys"]}
    public = east.airflow_key.public_key().public_bytes_raw()
    kid = f"east.{hashlib.sha256(public).hexdigest()[:16]}"
    assert base64.urlsafe_b64decode(keys[kid]["x"] + "=") == public
    assert len(keys) == 2
    for token in (sign_token("east", east.airflow_key, "api", NOW), sign_token("west", west.airflow_key, "api", NOW)):
        key = jwt.PyJWK(keys[jwt.get_unverified_header(token)["kid"]])
        jwt.decode(token, key, algorithms=["EdDSA"], audience="api", options={"verify_exp": False, "verify_iat": False})
    revoke(home, "west", NOW)
    assert [key["kid"] for key in json.loads(jwks_path(home).read_bytes())["keys"]] == [kid]
    assert sorted(admitted(home)) == ["east", "west"]
    admit(home, west.card, expires=None, now=NOW + 2 * DAY)
    assert all(key["kid"].startswith("west.") for key in json.loads(jwks_path(home).read_bytes())["keys"])


def test_only_the_coordinator_reads_who_is_let_in(home, east):
    for path in (jwks_path(home), jwks_path(home).parent / "east.json"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_card_without_both_keys_or_with_the_key_sets_name_is_not_admitted(home):
    whole = Agency("east").card
    for missing in ("exchange_key", "airflow_key"):
        with pytest.raises(ConfigError, match="fl agency init"):
            admit(home, whole.model_copy(update={missing: None}), expires=None, now=NOW)
    with pytest.raises(ConfigError, match="cannot be called jwks"):
        admit(home, Agency("jwks").card, expires=None, now=NOW)
    with pytest.raises(ConfigError, match="is past"):
        admit(home, Card.model_validate(whole.model_dump()), expires=NOW, now=NOW)
    assert admitted(home) == {}
