"""Airflow's own API server has the federated server where agencies come to, and nowhere else."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from fl_airflow.edge import AGENCIES_COME
from fl_airflow.installation import FEDERATION
from fl_airflow.settings import airflow_home, environment

from fl_tasks.exchange.errors import NotYours
from fl_tasks.exchange.tokens import EXCHANGE_AUDIENCE, sign_token
from tests.exchange.federated_server import AGENCIES, RUN, Agency, FederatedServer, now

_AIRFLOW = [sys.executable, "-P", "-m", "airflow"]


class MountedServer(FederatedServer):
    """The same, but in Airflow's API server, with its plugins and middlewares."""

    def start(self) -> MountedServer:
        self.home.root.mkdir(mode=0o700)
        airflow_home(self.home.root).mkdir()
        env = environment(self.home.root) | {
            AGENCIES_COME: "1",
            "HUILIU_FEDERATION": str(FEDERATION),
            "AIRFLOW__API_AUTH__JWT_SECRET": "of-no-use-after-this-test-0123456789abcdef0123456789abcdef",
            "AIRFLOW__API__SSL_CERT": str(self._certificate),
            "AIRFLOW__API__SSL_KEY": str(self._key),
        }
        with self._log.open("ab") as log:
            migrated = subprocess.run([*_AIRFLOW, "db", "migrate"], env=env, stdout=log, stderr=log, check=False)
            assert migrated.returncode == 0, self.log[-3000:]
            words = ["api-server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", "--apps", "core"]
            self._process = subprocess.Popen(
                [*_AIRFLOW, *words], env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        end = time.monotonic() + 120
        while not self._answers():
            assert self._process.poll() is None, self.log[-3000:]
            assert time.monotonic() < end, self.log[-3000:]
            time.sleep(0.3)
        return self

    def stop(self) -> None:
        """Stop it with whatever it started."""
        os.killpg(self.pid, signal.SIGTERM)
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    server = MountedServer(tmp_path_factory.mktemp("airflow"))
    try:
        yield server.start()
    finally:
        server.stop()


def test_airflows_api_server_serves_the_exchange(mounted):
    agencies = {name: Agency(name) for name in AGENCIES}
    mounted.found(tuple(agencies.values()))
    east, data = agencies["east"].exchange(mounted), os.urandom(5 * 2**20)
    east.put("setup/ready/east", data)
    east.put("setup/ready/east", data)
    assert agencies["west"].exchange(mounted).get("setup/ready/east") == data
    with pytest.raises(NotYours):
        agencies["west"].exchange(mounted).put("setup/keys/east", b"x")
    assert (RUN.folder(mounted.home) / "setup/ready/east").read_bytes() == data
    assert "federation refused agency=west" in mounted.log


def test_an_agencys_token_opens_nothing_else_of_airflow(mounted):
    agency = Agency("east")
    mounted.found((agency, Agency("north"), Agency("west")))
    token = sign_token(agency.name, agency.key, EXCHANGE_AUDIENCE, now())
    for path in ("api/v2/dags", "api/v2/connections", "ui/config"):
        with httpx.Client(verify=ssl.create_default_context(cafile=str(mounted.ca)), trust_env=False) as client:
            answer = client.get(f"{mounted.url}/{path}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code in (401, 403), path


def test_other_parts_of_airflow_do_not_load_it():
    """Nor does an API server that no agency comes to: every start would pay for the import."""
    code = "import sys, fl_plugin; print('fl_airflow.federated.app' in sys.modules)"
    plugins = Path(__file__).parents[2] / "plugins"
    for argv, env, loaded in (
        (["scheduler"], {AGENCIES_COME: "1"}, False),
        (["api-server"], {}, False),
        (["api-server"], {AGENCIES_COME: "1"}, True),
    ):
        others = {name: value for name, value in os.environ.items() if name != AGENCIES_COME}
        done = subprocess.run(
            [sys.executable, "-c", code, *argv],
            env=others | env | {"PYTHONPATH": f"{plugins}:{plugins.parent}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == str(loaded), (argv, env, done.stderr[-2000:])
