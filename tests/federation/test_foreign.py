"""What an agency that turned against the others tries, from its own host and with its own keys: all of it in vain."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fl_airflow.edge import TOKEN_AUDIENCE
from fl_airflow.hosts.enrolment import coordinator_command
from fl_airflow.hosts.network import as_user
from fl_airflow.installation import federated_run_id
from fl_airflow.server.config import read_config, server_environment

from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.admitted import key_id
from fl_tasks.exchange.tokens import EXCHANGE_AUDIENCE, sign_token
from tests.faults import canary
from tests.federation.held import held_at_the_coordinator, sql
from tests.federation.site import DAG, SCENARIO, Site

pytestmark = pytest.mark.timeout(1800)
QUEUED = {"free_concurrency": 1, "supports_task_instance_uuid": True}


def key(host, name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes((host.home.agency(host.name) / "keys" / f"{name}.key").read_bytes())


def worker_token(host, **changed) -> str:
    """A token as the agency's own worker makes it, or with something changed."""
    private, now = key(host, "airflow"), int(time.time())
    claims = {"iss": host.name, "aud": TOKEN_AUDIENCE, "iat": now, "nbf": now, "exp": now + 30, "method": "x"}
    kid = changed.pop("kid", key_id(host.name, private.public_key().public_bytes_raw().hex()))
    return jwt.encode({**claims, **changed}, private, algorithm="EdDSA", headers={"kid": kid})


def exchange_token(host) -> str:
    return sign_token(host.name, key(host, "exchange"), EXCHANGE_AUDIENCE, dt.datetime.now(dt.UTC))


def worker_call(token: str, method: str, path: str, **more) -> dict:
    return {"method": method, "path": f"/edge_worker/v1/{path}", "token": token, "scheme": "", **more}


def log_of_the_server(site: Site) -> str:
    return (site.home / "server" / "logs" / "api-server.log").read_text()


@contextmanager
def logged(site: Site, number: int, words: str = "NotYours", said: str = "refused"):
    """The server's log gets as many lines of refusals, or of something else that it said, with some words meanwhile."""
    before = len(log_of_the_server(site))
    yield
    lines = [line for line in log_of_the_server(site)[before:].splitlines() if said in line and words in line]
    assert len(lines) == number, lines


def task_of(site: Site, run: str, agency: str) -> dict:
    """An agency's task of the run, done by its worker."""
    return site.task_instances(DAG, run)[f"prepare.{agency}.ingest"]


def refused(answers: list[dict], status: tuple[int, ...] = (403,)) -> None:
    assert [answer["status"] in status for answer in answers] == [True] * len(answers), answers


def test_the_own_name_and_queue_are_admitted(site, run):
    b = site.hosts[1]
    token = worker_token(b)
    answers = site.ask(b, [worker_call(token, "POST", f"jobs/fetch/{b.name}", json={"queues": [b.name], **QUEUED})])
    assert answers == [{"status": 200, "text": "null"}]


def test_another_agencys_queue_name_and_null_queues_are_refused_and_logged(site, run):
    a, b = site.hosts[:2]
    token = worker_token(b)
    state = {"state": "idle", "jobs_active": 0, "sysinfo": {}}
    calls = [
        worker_call(token, "POST", f"jobs/fetch/{b.name}", json={"queues": [a.name], **QUEUED}),
        worker_call(token, "POST", f"jobs/fetch/{b.name}", json={"queues": [b.name, a.name], **QUEUED}),
        worker_call(token, "POST", f"jobs/fetch/{b.name}", json={"queues": None, **QUEUED}),
        worker_call(token, "POST", f"jobs/fetch/{b.name}", json=QUEUED),
        worker_call(token, "POST", f"jobs/fetch/{a.name}", json={"queues": [b.name], **QUEUED}),
        worker_call(token, "POST", f"worker/{a.name}", json={"queues": [a.name], **state}),
        worker_call(token, "POST", f"worker/{b.name}", json={"queues": [a.name], **state}),
        worker_call(token, "PATCH", f"worker/{a.name}", json={"queues": [a.name], **state}),
        worker_call(token, "PATCH", f"worker/queues/{b.name}", json={"new_queues": [a.name]}),
        # The same call in other letters: Airflow takes it for the same.
        {**worker_call(token, "POST", ""), "path": f"/edge%5Fworker/v1/jobs/fetch/{a.name}", "json": QUEUED},
    ]
    with logged(site, len(calls)):
        refused(site.ask(b, calls))


@contextmanager
def job_of(site: Site, run: str, agency: str):
    """A job that an agency's worker runs, as the server has it until a minute after its end; gives its path."""
    task = task_of(site, run, agency)
    names = {"dag_id": DAG, "task_id": task["task_id"], "run_id": run, "map_index": -1, "try_number": 9}
    job = {**names, "task_instance_id": task["id"], "queue": agency, "edge_worker": agency, "state": "running"}
    columns, values = (", ".join(words) for words in (job, (f"'{value}'" for value in job.values())))
    columns += ", concurrency_slots, command, last_update"
    sql(site, f"INSERT INTO edge_job ({columns}) VALUES ({values}, 1, '{{}}', now())")
    try:
        yield f"{DAG}/{task['task_id']}/{run}/9/-1"
    finally:
        sql(site, f"DELETE FROM edge_job WHERE try_number = 9 AND task_id = '{task['task_id']}'")


def test_another_agencys_job_state_and_logs_are_refused(site, run):
    a, b = site.hosts[:2]

    def calls(who, job: str) -> list[dict]:
        token = worker_token(who)
        chunk = {"log_chunk_time": "2026-01-01T00:00:00Z", "log_chunk_data": "x"}
        return [
            worker_call(token, "PATCH", f"jobs/state/{job}/success"),
            worker_call(token, "PATCH", f"jobs/state/{job}/failed"),
            worker_call(token, "POST", f"logs/push/{job}", json=chunk),
        ]

    with job_of(site, run, a.name) as job:
        with logged(site, 3):
            refused(site.ask(b, calls(b, job)))
        assert sql(site, f"SELECT state FROM edge_job WHERE task_id = '{job.split('/')[1]}'").split() == ["running"]
        assert [answer["status"] for answer in site.ask(a, calls(a, job)[2:])] == [204]


def test_an_agencys_own_log_is_answered_so_that_its_failed_job_is_told_and_is_kept_nowhere(site, run):
    b = site.hosts[1]
    text = "a-line-of-a-log-that-stays-at-home"
    body = {"log_chunk_time": "2026-01-01T00:00:00Z", "log_chunk_data": text}
    with job_of(site, run, b.name) as job, logged(site, 1, said="dropped", words="PUSH_LOGS"):
        answers = site.ask(b, [worker_call(worker_token(b), "POST", f"logs/push/{job}", json=body)])
    assert answers == [{"status": 204, "text": ""}]
    # What the server's request bodies are written to is the tests' own.
    held = [(name, content) for name, content in held_at_the_coordinator(site) if not name.startswith("server/bodies/")]
    assert canary.search(held, {"log": text.encode()}) == {}


def test_tokens_of_another_make_are_refused(site, run):
    a, b = site.hosts[:2]
    a_kid = key_id(a.name, key(a, "airflow").public_key().public_bytes_raw().hex())
    now = int(time.time())
    shared = jwt.encode({"aud": "api", "iat": now, "exp": now + 30, "method": "x"}, "secret" * 12, algorithm="HS512")
    unsigned = jwt.encode({"iss": a.name, "aud": "api", "iat": now, "exp": now + 30}, None, algorithm="none")
    of_another = {
        "another's name under the own key": worker_token(b, iss=a.name),
        "another's key id over the own signature": worker_token(b, iss=a.name, kid=a_kid),
        "the own key id, another's name": worker_token(b, iss=a.name, sub=a.name),
    }
    tokens = of_another | {
        "valid for too long": worker_token(b, exp=now + 86400),
        "ten minutes ago": worker_token(b, iat=now - 600, nbf=now - 600, exp=now - 570),
        "ten minutes ahead": worker_token(b, iat=now + 600, nbf=now + 600, exp=now + 630),
        "for the exchange": exchange_token(b),
        "a guessed shared secret": shared,
        "no signature": unsigned,
        "nothing": "",
    }
    for name, token in tokens.items():
        # Each asks for what its agency may have, so that the token alone is wrong.
        asked = (a if name in of_another else b).name
        with logged(site, 1, words="refused: POST"):
            call = worker_call(token, "POST", f"jobs/fetch/{asked}", json={"queues": [asked], **QUEUED})
            answer = site.ask(b, [call])[0]
        assert answer["status"] == 403, (name, answer)
        assert json.loads(answer["text"])["detail"]["code"] != "NotYours", (name, answer)


def test_a_worker_whose_clock_is_ten_minutes_off_is_told_by_how_much(site, run):
    b, now = site.hosts[1], int(time.time())
    token = worker_token(b, iat=now - 600, nbf=now - 600, exp=now - 570)
    answer = site.ask(b, [worker_call(token, "POST", f"jobs/fetch/{b.name}", json={"queues": [b.name], **QUEUED})])[0]
    detail = json.loads(answer["text"])["detail"]
    assert detail["code"] == "ClockSkewed"
    assert "clock" in detail["message"]


def test_an_agencys_key_opens_nothing_of_the_operators_api(site, run):
    b, now = site.hosts[1], int(time.time())
    as_admin = {"sub": "admin", "role": "ADMIN", "aud": "apache-airflow", "exp": now + 86400}
    forged = [worker_token(b), worker_token(b, **as_admin), exchange_token(b)]
    paths = [f"/api/v2/dags/{DAG}/dagRuns", "/api/v2/connections", "/api/v2/variables", "/edge_worker/ui/worker"]
    before = len(log_of_the_server(site))
    answers = site.ask(b, [{"method": "GET", "path": path, "token": token} for path in paths for token in forged])
    refused(answers, (401, 403))
    lines = log_of_the_server(site)[before:].splitlines()
    for path in paths:
        said = [line for line in lines if f"path={path} " in line and re.search("status_code=40[13]", line)]
        assert len(said) == len(forged), lines


def test_another_agencys_part_of_the_exchange_is_closed(site, run):
    a, b = site.hosts[:2]
    files = f"/federation/v1/runs/{federated_run_id(SCENARIO, run).replace('+', '%2B')}/files"
    token = exchange_token(b)

    def get(name: str) -> dict:
        return {"method": "GET", "path": f"{files}/{name}", "token": token}

    open_, closed = site.ask(b, [get(f"setup/keys/{a.name}"), get(f"r/1/up/{a.name}")])
    assert open_["status"] == 200
    refused([closed])
    with logged(site, 2):
        refused(site.ask(b, [get(f"setup/shares/{a.name}/{site.hosts[2].name}"), get(f"r/1/reveal/{a.name}")]))
    # What A sent to B is B's.
    assert site.ask(b, [get(f"setup/shares/{a.name}/{b.name}")])[0]["status"] == 200


def test_another_agencys_slots_and_what_is_there_cannot_be_written(site, run):
    a, b = site.hosts[:2]
    run_id = federated_run_id(SCENARIO, run)
    files = f"/federation/v1/runs/{run_id.replace('+', '%2B')}/files"
    token = exchange_token(b)
    own = Home(site.home).exchange(run_id) / "setup" / "keys" / b.name
    before = own.read_bytes()
    digest = "sha-256=:" + "A" * 43 + "=:"

    def put(name: str) -> dict:
        headers = {"Repr-Digest": digest, "Content-Type": "application/octet-stream"}
        return {"method": "PUT", "path": f"{files}/{name}", "token": token, "content": "forged", "headers": headers}

    others = (f"r/2/up/{a.name}", f"setup/keys/{a.name}", "r/1/manifest", "setup/cohort")
    with logged(site, len(others)):
        refused(site.ask(b, [put(name) for name in others]))
    with logged(site, 1, words="ExchangeConflict"):
        refused(site.ask(b, [put(f"setup/keys/{b.name}")]), (409,))
    assert own.read_bytes() == before


def test_a_task_of_an_agency_reaches_no_connection_variable_or_other_task(site, run):
    """Airflow lets any task's token do all of this; the gate does not."""
    a, b = site.hosts[:2]
    own, other = task_of(site, run, b.name), task_of(site, run, a.name)
    token = task_token(site, own["id"])
    version = {"airflow-api-version": "2026-06-30"}

    def call(method: str, path: str, **more) -> dict:
        return {"method": method, "path": f"/execution/{path}", "token": token, "headers": version, **more}

    xcom = f"xcoms/{DAG}/{run.replace('+', '%2B')}"
    ownself, now = f"task-instances/{own['id']}", dt.datetime.now(dt.UTC).isoformat()
    deferral = {"trigger_kwargs": {"args": ["true"]}, "next_method": "execute"}
    event = {"dest_asset_key": {"name": "global_model", "uri": "x"}, "extra": {"version": 99}}
    calls = [
        call("GET", "connections/any"),
        call("GET", "variables/any"),
        call("PUT", "variables/any", json={"value": "x"}),
        call("POST", f"{xcom}/{other['task_id']}/return_value", json="x"),
        call("GET", f"{xcom}/{other['task_id']}/return_value"),
        call("POST", f"dag-runs/{DAG}/forged", json={}),
        call("PATCH", f"task-instances/{other['id']}/state", json={}),
        # Airflow's triggerer would make an object of this class, at the coordinator.
        call("PATCH", f"{ownself}/state", json={"state": "deferred", "classpath": "subprocess.Popen", **deferral}),
        call("PATCH", f"{ownself}/state", json={"state": "success", "end_date": now, "outlet_events": [event]}),
        call("PATCH", f"{ownself}/skip-downstream", json={"tasks": [other["task_id"]]}),
        call("POST", f"{xcom}/{own['task_id']}/return_value", json={"__classname__": "airflow.x", "__data__": {}}),
        call("PATCH", f"{ownself}/state", json={"state": "up_for_retry", "end_date": "9999-12-31T23:59:59Z"}),
        {**call("GET", ""), "path": "/%65xecution/connections/any"},
    ]
    with logged(site, len(calls)):
        refused(site.ask(b, calls))
    answer = site.ask(b, [call("GET", f"{xcom}/{own['task_id']}/return_value")])[0]
    assert answer["status"] == 200, answer


def test_a_token_of_a_former_try_or_of_no_task_reaches_nothing(site, run):
    b = site.hosts[1]
    task, former = task_of(site, run, b.name), str(uuid.uuid4())
    kept = "dag_id, run_id, task_id, map_index, queue, executor, pool, pool_slots"
    sql(
        site,
        f"INSERT INTO task_instance_history (task_instance_id, try_number, {kept}) "
        f"SELECT '{former}', 8, {kept} FROM task_instance WHERE id = '{task['id']}'",
    )
    xcom = f"xcoms/{DAG}/{run.replace('+', '%2B')}/{task['task_id']}/return_value"
    tokens = [task_token(site, id_) for id_ in (former, str(uuid.uuid4()))]
    asked = [
        {"method": "GET", "path": f"/execution/{path}", "token": token}
        for token in tokens
        for path in ("variables/any", "connections/any", xcom)
    ]
    with logged(site, len(asked)):
        refused(site.ask(b, asked))


def task_token(site: Site, task_instance: str) -> str:
    """The token that Airflow gives to a task, made as the server makes it."""
    code = (
        "import sys; from airflow.api_fastapi.auth.tokens import JWTGenerator; from airflow.configuration import conf;"
        "print(JWTGenerator(secret_key=conf.get('api_auth', 'jwt_secret'), valid_for=600,"
        "audience='urn:airflow.apache.org:task').generate({'sub': sys.argv[1], 'scope': 'execution'}))"
    )
    env = {**server_environment(site.home, read_config(site.home)), "USER": "huiliu", "HOME": str(site.home)}
    argv = [*as_user(site.layout.uid), sys.executable, "-P", "-c", code, task_instance]
    pid = site.pid("scheduler")
    done = subprocess.run(
        ["nsenter", f"--target={pid}", "--mount", "--net", "--", *argv],
        env=env, capture_output=True, text=True, check=True, cwd="/",
    )  # fmt: skip
    return done.stdout.split()[-1]


@pytest.mark.parametrize("who", ["another daemon", "another worker", "the own worker", "the coordinator"])
def test_an_agencys_folder_is_unreadable_for_every_user_but_its_own(site, run, who):
    a, b = site.hosts[:2]
    uid = {
        "another daemon": b.daemon_uid,
        "another worker": b.worker_uid,
        "the own worker": a.worker_uid,
        "the coordinator": site.layout.uid,
    }[who]
    folder = a.home.agency(a.name)
    for path in (folder, folder / "keys" / "protocol.key", folder / "policy.yaml", folder / "secagg"):
        assert path.exists()
        done = site.on_host(a, uid, ["ls", "-d", str(path)])
        assert done.returncode != 0, path
        assert "Permission denied" in done.stderr
    assert site.on_host(a, a.daemon_uid, ["ls", "-d", str(folder)]).returncode == 0


@pytest.mark.parametrize("who", ["another daemon", "another worker", "the coordinator"])
def test_an_agencys_daemon_answers_nobody_but_its_own_worker(site, run, who):
    a, b = site.hosts[:2]
    uid = {
        "another daemon": b.daemon_uid,
        "another worker": b.worker_uid,
        "the coordinator": site.layout.uid,
    }[who]
    code = f"import os; os.open({str(a.socket_folder)!r}, os.O_PATH); os.listdir({str(a.socket_folder)!r})"
    done = site.on_host(a, uid, [sys.executable, "-P", "-c", code])
    assert "PermissionError" in done.stderr
    code = (
        "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
        f"s.connect({os.fspath(a.socket_folder / 'daemon.sock')!r})"
    )
    assert "PermissionError" in site.on_host(a, uid, [sys.executable, "-P", "-c", code]).stderr


def test_a_worker_of_another_version_is_refused_and_told(site, run):
    b = site.hosts[1]
    sysinfo = {"airflow_version": "3.0.0", "edge_provider_version": "1.0.0"}
    body = {"state": "starting", "jobs_active": 0, "queues": [b.name], "sysinfo": sysinfo}
    answer = site.ask(b, [worker_call(worker_token(b), "POST", f"worker/{b.name}", json=body)])[0]
    assert answer["status"] == 400
    assert "3.0.0" in answer["text"]


def test_a_revoked_agency_is_refused_from_the_next_request_on_and_admitted_anew(site, run):
    """The last test of this file: the agency's worker meets it, too, and comes back."""
    b = site.hosts[1]
    fetch = {"method": "POST", "json": {"queues": [b.name], **QUEUED}}
    get = {"method": "GET", "path": f"/federation/v1/rosters/{SCENARIO}/files"}

    def ask() -> list[tuple[int, str]]:
        calls = [
            worker_call(worker_token(b), path=f"jobs/fetch/{b.name}", **fetch),
            {**get, "token": exchange_token(b)},
        ]
        return [(answer["status"], answer["text"]) for answer in site.ask(b, calls)]

    assert [status for status, _ in ask()] == [200, 200]
    coordinator_command(site.layout, "coordinator", "revoke", b.name)
    try:
        answers = ask()
        assert all(status in (401, 403) for status, _ in answers), answers
        assert all("AgencyRevoked" in text for _, text in answers), answers
    finally:
        site.admit(b)
    assert [status for status, _ in ask()] == [200, 200]
