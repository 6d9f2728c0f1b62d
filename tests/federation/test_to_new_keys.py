"""An agency takes new keys into use while the federation is up, as docs/how-to/agency.md says. It comes last here."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import suppress

import pytest
from fl_airflow.hosts.enrolment import worker_setup
from fl_airflow.hosts.users import agency_environment, user_environment
from fl_airflow.installation import watch_dag_id

from tests.federation.site import SCENARIO
from tests.federation.test_foreign import QUEUED, exchange_token, worker_call, worker_token
from tests.server.test_server import wait_for

pytestmark = pytest.mark.timeout(900)


def fl(site, host, *words: str) -> str:
    """Run `fl agency WORDS` as the agency's user on its host."""
    argv = [sys.executable, "-P", "-m", "fl_tasks", "agency", *words, "--agency", host.name]
    done = site.on_host(host, host.daemon_uid, argv, env=agency_environment(host))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def set_worker_up(site, host) -> None:
    """Give the worker the new key."""
    handed = host.folder / "handed.key"
    shutil.copyfile(host.home.agency(host.name) / "keys" / "airflow.key", handed)
    handed.chmod(0o400)
    os.chown(handed, host.worker_uid, host.worker_uid)
    argv = worker_setup(site.layout, host, str(handed))
    done = site.on_host(host, host.worker_uid, argv, env=user_environment(host.worker))
    handed.unlink()
    assert done.returncode == 0, done.stdout + done.stderr


def another(site, part: str, old: int) -> bool:
    """Whether a part runs by another process than it did."""
    process = site.state.parts[part].process
    return process is not None and process.pid != old


def test_old_keys_are_refused_and_the_agency_works_on_with_the_new_ones(site, run):
    host = site.hosts[1]
    fetch = {"method": "POST", "path": f"jobs/fetch/{host.name}", "json": {"queues": [host.name], **QUEUED}}
    get = {"method": "GET", "path": f"/federation/v1/rosters/{SCENARIO}/files"}

    def calls() -> list[dict]:
        return [worker_call(worker_token(host), **fetch), {**get, "token": exchange_token(host)}]

    part = f"{host.name}.worker"
    old = site.pid(part)
    assert "new keys wait" in fl(site, host, "rotate")
    assert [answer["status"] for answer in site.ask(host, calls())] == [200, 200], "the old keys stay in use"
    card = site.layout.root / "cards" / f"{host.name}.json"
    shutil.copyfile(host.home.agency(host.name) / "card.json", card)
    site.admit(host)
    answers = site.ask(host, calls())
    assert [answer["status"] for answer in answers] == [403, 401]
    assert all("WrongKey" in answer["text"] for answer in answers), answers
    assert "in use" in fl(site, host, "rotate")
    fl(site, host, "init", "--scenario", SCENARIO)
    set_worker_up(site, host)
    assert [answer["status"] for answer in site.ask(host, calls())] == [200, 200]
    with suppress(ProcessLookupError):  # refused with its old key, it may have ended by itself
        os.kill(old, signal.SIGTERM)
    wait_for(lambda: another(site, part, old), 120, "the worker was not started again")
    watch = watch_dag_id(SCENARIO)
    id_ = site.trigger(watch, {"interval": ["2012-03-29", "2012-03-30"]})
    assert site.wait(watch, id_, 300) == "success", site.failures(watch, id_)
    tasks = site.task_instances(watch, id_)
    assert tasks[f"{host.name}.watch"]["state"] == "success", site.agencies_logs(id_, watch)
    assert tasks[f"{host.name}.watch"]["hostname"] == host.name
