"""The federated server, real and behind TLS: what is stored, once, and who is let at what."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import ssl

import httpx
import pytest

from fl_tasks.contracts.errors import MissingInput
from fl_tasks.exchange import http, versions
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.admitted import admit, revoke
from fl_tasks.exchange.digests import digest_header
from fl_tasks.exchange.errors import (
    AdmissionExpired,
    AgencyRevoked,
    ClockSkewed,
    ExchangeConflict,
    NameRefused,
    NotAdmitted,
    NotTrusted,
    NotYours,
    TokenExpired,
    VersionMismatch,
    WrongKey,
)
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.exchange.tokens import EXCHANGE_AUDIENCE, sign_token
from tests.exchange.federated_server import RUN, SCENARIO, Agency, make_certificates, now

_numbers = itertools.count(1)


@pytest.fixture
def run() -> Space:
    """A run of its own for each test."""
    return Space("runs", f"{SCENARIO}__manual__{next(_numbers)}")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(http, "_WAITS", (0.05,))


def folder(server, run) -> FolderExchange:
    return FolderExchange(run.folder(server.home))


def refused(server) -> str:
    """The last line that the server logged of a refusal."""
    return [line for line in server.log.splitlines() if "federation refused" in line][-1]


def ask(server, agency, method, path, *, headers=None, content=None):
    """Send any request with an agency's token, as a client of its own would."""
    token = sign_token(agency.name, agency.key, EXCHANGE_AUDIENCE, now())
    context = ssl.create_default_context(cafile=str(server.ca))
    with httpx.Client(verify=context, trust_env=False) as client:
        signed = {"Authorization": f"Bearer {token}", **(headers or {})}
        return client.request(method, f"{server.url}/federation/v1/{path}", headers=signed, content=content)


def test_a_message_is_stored_once_and_again_is_success(server, agencies, run):
    exchange = agencies["east"].exchange(server, run)
    exchange.put("setup/keys/east", b"keys")
    exchange.put("setup/keys/east", b"keys")
    assert exchange.get("setup/keys/east") == b"keys"
    assert folder(server, run).get("setup/keys/east") == b"keys"


def test_other_content_under_a_name_is_refused_and_nothing_replaced(server, agencies, run):
    exchange = agencies["east"].exchange(server, run)
    exchange.put("setup/keys/east", b"keys")
    for data in (b"others", b"o" * 2**21):
        with pytest.raises(ExchangeConflict, match="nothing was replaced"):
            exchange.put("setup/keys/east", data)
    assert folder(server, run).get("setup/keys/east") == b"keys"


def test_what_is_not_there_may_still_come(server, agencies, run):
    exchange = agencies["east"].exchange(server, run)
    with pytest.raises(MissingInput, match="setup/cohort"):
        exchange.get("setup/cohort")
    assert exchange.find("setup/cohort") is None
    assert exchange.names() == []


def test_of_a_message_that_is_too_long_one_byte_too_many_is_read(server, agencies, run):
    folder(server, run).put("setup/cohort", b"12345")
    exchange = agencies["east"].exchange(server, run)
    assert exchange.get("setup/cohort", 5) == b"12345"
    assert exchange.get("setup/cohort", 3) == b"1234"


def test_an_agency_writes_its_own_names_only(server, agencies, run):
    west = agencies["west"].exchange(server, run)
    for name in ("setup/keys/east", "r/1/up/east", "setup/shares/east/west", "setup/cohort", "r/1/model.npz"):
        with pytest.raises(NotYours, match="nothing was stored"):
            west.put(name, b"x")
        assert f"agency=west method=PUT name='/federation/v1/runs/{run.name}/files/{name}' code=NotYours" in refused(
            server
        )
    assert folder(server, run).names() == []


def test_an_agency_reads_what_is_addressed_to_it_or_to_all(server, agencies, run):
    everything = folder(server, run)
    theirs = ("setup/shares/north/east", "r/1/up/east", "r/1/reveal/east")
    for name in ("setup/cohort", "setup/shares/north/west", *theirs):
        everything.put(name, b"x")
    west = agencies["west"].exchange(server, run)
    assert west.get("setup/cohort") == west.get("setup/shares/north/west") == b"x"
    for name in theirs:
        with pytest.raises(NotYours, match="not addressed to west"):
            west.get(name)
        with pytest.raises(NotYours):
            west.find(name)
    with pytest.raises(NotYours):  # whether another's message is there is not told either
        west.get("r/2/up/east")
    assert west.names() == ["setup/cohort", "setup/shares/north/west"]


def test_names_that_the_exchange_does_not_have_are_refused(server, agencies, run):
    east = agencies["east"].exchange(server, run)
    for name in ("up/east", "checks/east.txt", "r/1/up/east/more", "r/0/up/east", ".uploads/east"):
        with pytest.raises(NameRefused):
            east.put(name, b"x")
    for path in ("runs/..%2Fcoordinator/files/x", "runs/traffic/files/x", "secrets/traffic/files/x"):
        assert ask(server, agencies["east"], "GET", path).status_code in (400, 404)


def test_only_agencies_of_the_scenarios_roster_get_at_its_runs_and_models(server, agencies):
    guest = Agency("guest")
    admit(server.home, guest.card, expires=None, now=now())
    for space in (RUN, Space("runs", f"survey.{SCENARIO}__x"), Space("registry", SCENARIO), Space("runs", "other__x")):
        with pytest.raises(NotYours, match="guest is not in the scenario's roster"):
            guest.exchange(server, space).names()
    card = guest.exchange(server, Space("rosters", SCENARIO))
    card.put("cards/guest.json", b"{}")
    assert card.names() == ["cards/guest.json"]


@pytest.mark.parametrize("kind", ["", "survey.", "watch.", "forecast."])
def test_an_agency_of_the_roster_gets_at_every_kind_of_run_by_airflows_own_names(server, agencies, kind):
    run_id = f"{kind}{SCENARIO}__manual__2026-11-29T05:02:31.978953+00:00"
    assert agencies["east"].exchange(server, Space("runs", run_id)).names() == []


def test_a_strangers_agency_is_not_admitted(server, agencies, run):
    with pytest.raises(NotAdmitted, match="fl coordinator admit"):
        Agency("stranger").exchange(server, run).names()


def test_anothers_key_is_no_key(server, agencies, run):
    thief = Agency("east")
    with pytest.raises(WrongKey, match="has to admit the new card"):
        thief.exchange(server, run).put("setup/keys/east", b"x")
    assert "agency=None" in refused(server)
    assert "code=WrongKey" in refused(server)


def test_the_airflow_key_does_not_open_the_exchange(server, agencies, run):
    east = agencies["east"]
    east.key = east.airflow_key
    with pytest.raises(WrongKey):
        east.exchange(server, run).names()


def test_a_rotated_key_is_refused_from_then_on(server, agencies, run):
    old = agencies["east"].exchange(server, run)
    old.put("checks/east", b"x")
    new = Agency("east")
    admit(server.home, new.card, expires=None, now=now())
    with pytest.raises(WrongKey):
        old.names()
    assert new.exchange(server, run).names() == []


def test_a_revoked_agency_is_refused_from_its_next_request_on(server, agencies, run):
    exchange = agencies["east"].exchange(server, run)
    exchange.put("checks/east", b"x")
    revoke(server.home, "east", now())
    with pytest.raises(AgencyRevoked, match="taken back"):
        exchange.put("setup/keys/east", b"x")
    assert folder(server, run).names() == ["checks/east"]


def test_an_admission_ends_by_itself(server, agencies, run):
    east = agencies["east"]
    admit(server.home, east.card, expires=now() + dt.timedelta(seconds=1), now=now() - dt.timedelta(days=1))
    admit(server.home, east.card, expires=now() - dt.timedelta(seconds=1), now=now() - dt.timedelta(days=1))
    with pytest.raises(AdmissionExpired, match="admission of east ended"):
        east.exchange(server, run).names()


@pytest.mark.parametrize(("minutes", "text"), [(10, "600 seconds ahead"), (-10, "600 seconds behind")])
def test_a_clock_that_is_off_is_named_with_both_clocks_difference(server, agencies, run, monkeypatch, minutes, text):
    monkeypatch.setattr(http, "_now", lambda: now() + dt.timedelta(minutes=minutes))
    with pytest.raises(ClockSkewed, match=r"\d+ seconds") as caught:
        agencies["east"].exchange(server, run).names()
    wanted = int(text.split()[0])
    said = int(str(caught.value).split(" is ")[1].split()[0])
    assert abs(said - wanted) <= 5
    assert text.split()[-1] in str(caught.value)


@pytest.mark.parametrize("other", ["0.0.1 (protocol 1)", "0.1.0 (protocol 2)", "x" * 300])
def test_an_agency_of_another_version_is_told_both_and_nothing_is_stored(server, agencies, run, monkeypatch, other):
    monkeypatch.setattr(versions, "own", lambda: other)
    exchange = agencies["east"].exchange(server, run)
    for ask_for in (lambda: exchange.put("setup/keys/east", b"keys"), lambda: exchange.find("setup/cohort")):
        with pytest.raises(VersionMismatch, match="bring both to the same version") as caught:
            ask_for()
        assert f"east runs huiliu {other[:40]}, the coordinator's server " in str(caught.value)
        assert "agency=east" in refused(server)
        assert "VersionMismatch" in refused(server)
    assert folder(server, run).names() == []


def test_an_old_token_is_refused(server, agencies, run, monkeypatch):
    monkeypatch.setattr(http, "_now", lambda: now() - dt.timedelta(seconds=120))
    with pytest.raises(TokenExpired, match="sign a new one"):
        agencies["east"].exchange(server, run).names()


def test_a_server_of_another_authority_is_not_spoken_to(server, agencies, run, tmp_path):
    other, _, _ = make_certificates(tmp_path)
    east = agencies["east"]
    with pytest.raises(NotTrusted, match="is not trusted"):
        http.HttpExchange(server.url, other, "east", east.key, run).names()


def test_a_request_says_its_length_and_digest_and_keeps_them(server, agencies, run):
    east = agencies["east"]
    path = f"runs/{run.name}/files/checks/east"
    digest = digest_header(hashlib.sha256(b"x").hexdigest())
    without_length = ask(server, east, "PUT", path, headers={"Repr-Digest": digest}, content=iter([b"x"]))
    assert (without_length.status_code, without_length.json()["code"]) == (400, "UploadRefused")
    without_digest = ask(server, east, "PUT", path, content=b"x")
    assert (without_digest.status_code, without_digest.json()["code"]) == (400, "UploadRefused")
    other = ask(server, east, "PUT", path, headers={"Repr-Digest": digest}, content=b"y")
    assert (other.status_code, other.json()["code"]) == (400, "UploadBroken")
    assert folder(server, run).names() == []
    assert not list(server.home.uploads.rglob("*-*"))


def test_a_message_over_its_names_length_is_refused_before_a_byte_is_stored(server, agencies, run):
    east = agencies["east"]
    headers = {"Repr-Digest": digest_header("0" * 64), "Content-Length": str(2**20 + 1)}
    answer = ask(server, east, "PUT", f"runs/{run.name}/files/checks/east", headers=headers, content=b"y" * (2**20 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")
    assert folder(server, run).names() == []
    assert not list(server.home.uploads.rglob("*-*"))


def go_on(server, agency, run, name, content, **headers):
    """Go on with the upload of some content under a name."""
    path = f"runs/{run.name}/uploads/{hashlib.sha256(content).hexdigest()}/{name}"
    return ask(server, agency, "PATCH", path, headers={"Upload-Complete": "?1", **headers}, content=content)


def test_an_upload_of_anothers_name_neither_goes_on_nor_is_looked_at(server, agencies, run):
    west = agencies["west"]
    for name in ("setup/keys/east", "r/1/up/east", "setup/shares/east/west", "setup/cohort", "r/1/model.npz"):
        answer = go_on(server, west, run, name, b"x", **{"Upload-Offset": "0"})
        assert (answer.status_code, answer.json()["code"]) == (403, "NotYours"), name
        assert f"agency=west method=PATCH name='/federation/v1/runs/{run.name}/uploads/" in refused(server)
        for method in ("GET", "HEAD"):
            assert ask(server, west, method, f"runs/{run.name}/uploads/{'0' * 64}/{name}").status_code == 403, name
    assert folder(server, run).names() == []
    assert not list(server.home.uploads.rglob("*-*"))


def test_an_upload_does_not_go_on_over_its_names_length(server, agencies, run):
    answer = go_on(server, agencies["east"], run, "checks/east", b"y", **{"Upload-Offset": str(2**20)})
    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")
    assert folder(server, run).names() == []
    assert not list(server.home.uploads.rglob("*-*"))


def test_an_upload_goes_on_where_it_is_and_to_its_end_only(server, agencies, run):
    east = agencies["east"]
    ahead = go_on(server, east, run, "checks/east", b"y", **{"Upload-Offset": "5"})
    assert ahead.status_code == 409
    for headers in ({}, {"Upload-Offset": "0", "Upload-Complete": "?0"}, {"Upload-Offset": "-1"}):
        answer = go_on(server, east, run, "checks/east", b"y", **headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "UploadRefused"), headers
    assert folder(server, run).names() == []
    whole = go_on(server, east, run, "checks/east", b"y", **{"Upload-Offset": "0"})
    assert whole.status_code == 201
    assert folder(server, run).get("checks/east") == b"y"


def test_a_part_of_a_message_is_read_and_none_beyond_its_end(server, agencies, run):
    folder(server, run).put("setup/cohort", b"12345")
    path = f"runs/{run.name}/files/setup/cohort"
    part = ask(server, agencies["east"], "GET", path, headers={"Range": "bytes=3-"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"45", "bytes 3-4/5")
    assert ask(server, agencies["east"], "GET", path, headers={"Range": "bytes=9-"}).status_code == 416
    other = {"Range": "bytes=3-", "If-Range": '"another"'}
    whole = ask(server, agencies["east"], "GET", path, headers=other)
    assert (whole.status_code, whole.content) == (200, b"12345")


def test_the_servers_versions_and_clock_need_no_key(server):
    context = ssl.create_default_context(cafile=str(server.ca))
    answer = httpx.get(f"{server.url}/federation/v1/server", verify=context, trust_env=False).json()
    assert set(answer) == {"huiliu", "airflow", "edge_provider", "protocol", "time"}
    assert abs(dt.datetime.fromisoformat(answer["time"]) - now()) < dt.timedelta(seconds=60)


def test_no_other_answer_is_given_without_a_token(server):
    context = ssl.create_default_context(cafile=str(server.ca))
    described = httpx.get(f"{server.url}/federation/openapi.json", verify=context, trust_env=False).json()
    asked = 0
    for path, methods in described["paths"].items():
        for method in methods:
            if path == "/v1/server":
                continue
            url = path.format(kind="runs", space=RUN.name, name="checks/east", sha256="0" * 64)
            with httpx.Client(verify=context, trust_env=False) as client:
                answer = client.request(method.upper(), f"{server.url}/federation{url}")
            assert answer.status_code == 401, (method, path)
            asked += 1
    assert asked == 7


def test_the_description_has_a_model_for_every_answer(server):
    context = ssl.create_default_context(cafile=str(server.ca))
    described = httpx.get(f"{server.url}/federation/openapi.json", verify=context, trust_env=False).json()
    models = set()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if not content:
                    assert method == "head" or (path, status) == ("/v1/server", "200"), (method, path, status)
                    continue
                schema = content.get("application/json", {}).get("schema", {})
                models.add(schema.get("$ref", "").rpartition("/")[2])
                if status == "416":
                    assert set(content) == {"text/plain"}
                elif path != "/v1/server" and not status.startswith("2"):
                    assert schema == {"$ref": "#/components/schemas/Refusal"}, (method, path, status)
    (read,) = [methods["get"] for path, methods in described["paths"].items() if path.endswith("/files/{name}")]
    assert {"206", "416"} <= set(read["responses"])
    assert {"Range", "If-Range"} <= {parameter["name"] for parameter in read["parameters"]}
    assert models == {"Server", "Names", "Stored", "UploadState", "Refusal", ""}
