"""A federation of three agencies in network namespaces, and what tests do from its hosts and to them."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from fl_airflow.hosts.enrolment import coordinator_command
from fl_airflow.hosts.founding import found
from fl_airflow.hosts.layout import AgencyHost, Layout
from fl_airflow.hosts.network import as_user, link_of
from fl_airflow.hosts.retraining import open_api
from fl_airflow.installation import federated_run_id, retraining_dag_id
from fl_airflow.server.api import AirflowApi
from fl_airflow.server.errors import ApiError, PostgresMissing
from fl_airflow.server.postgres import binaries

from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.report import Report
from fl_tasks.contracts.roster import Card
from tests.server.airflow_server import AirflowServer

SCENARIO = "traffic_districts"
DAG = retraining_dag_id(SCENARIO)
INTERVAL = ["2012-03-01", "2012-04-01"]
HERE = Path(__file__).parent
_PROGRAMS = ("ip", "nsenter", "setpriv", "unshare")


def not_possible() -> str | None:
    """Say why no federation can be made on this machine; None if it can."""
    if os.geteuid() != 0:
        return "not verified: network namespaces and other users need root"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not verified: {', '.join(missing)} missing; `make hosts` installs them"
    try:
        binaries()
    except PostgresMissing as error:
        return f"not verified: {error}"
    tried = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, text=True, check=False)
    return f"not verified: no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


class Patient:
    """An API that is asked again while its server is away."""

    def __init__(self, api: AirflowApi) -> None:
        self._api = api

    def call(self, method: str, path: str, body: object = None) -> Any:
        end = time.monotonic() + 120.0
        while True:
            try:
                return self._api.call(method, path, body)
            except ApiError as error:
                if error.status or time.monotonic() > end:
                    raise
            time.sleep(1.0)


class Site(AirflowServer):
    """One federation, made with a small model; two of its three agencies are enough for a sum.

    Args:
        root: Its folder.
        absent_seconds: After which an agency's task that nobody fetches has failed.
    """

    def __init__(self, root: Path, absent_seconds: int) -> None:
        self._absent_seconds = absent_seconds
        self.layout: Layout = found(root, SCENARIO, 3, None, absent_seconds=absent_seconds)
        super().__init__(self.layout.home)
        self.bodies = self.home / "server" / "bodies"
        self._env |= {
            "HUILIU_HOSTS": str(root),
            "PYTHONPATH": str(HERE / "recording"),
            "HUILIU_TEST_BODIES": str(self.bodies),
        }
        for dags in (self.layout.dags, *(host.dags for host in self.layout.hosts)):
            _make_small(dags / "federation" / "scenarios" / f"{SCENARIO}.yaml")

    @property
    def api(self) -> AirflowApi:
        if self._api is None:
            self._api = Patient(open_api(self.layout))  # type: ignore[assignment]
        return self._api

    @property
    def hosts(self) -> tuple[AgencyHost, ...]:
        return self.layout.hosts

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        output = self.layout.root / f"{words[0]}.txt"
        with output.open("w+") as file:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "fl_airflow.hosts", *words],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return subprocess.CompletedProcess(done.args, done.returncode, output.read_text())

    def start(self) -> str:
        done = self.command("up", SCENARIO, "--absent-seconds", str(self._absent_seconds))
        if done.returncode != 0:
            raise AssertionError(f"the federation did not start:\n{done.stdout}\n{self.logs()}")
        return done.stdout

    def pid(self, part: str) -> int:
        """Return the process of a part, like `district_northeast.worker`."""
        process = self.state.parts[part].process
        assert process is not None, f"{part} does not run"
        return process.pid

    def on_host(
        self, host: AgencyHost, uid: int, argv: Iterable[str], text: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on an agency's host, as one user; its output and error are returned."""
        # The daemon's: a worker whose keys are refused comes and goes.
        namespaces = ["nsenter", f"--target={self.pid(f'{host.name}.daemon')}", "--net", "--mount", "--"]
        return subprocess.run(
            [*namespaces, *as_user(uid), *argv],
            env={"PATH": os.environ["PATH"], "HOME": "/", "USER": "huiliu", **(env or {})},
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            timeout=120,
        )

    def admit(self, host: AgencyHost) -> None:
        """Let the coordinator admit the agency by the card that was carried to it."""
        card = self.layout.root / "cards" / f"{host.name}.json"
        digest = Card.model_validate_json(card.read_bytes()).fingerprint
        coordinator_command(self.layout, "coordinator", "admit", str(card), "--fingerprint", digest)

    def cut(self, host: AgencyHost) -> None:
        """Take an agency's only link down: nothing passes any more, and nobody is told."""
        self._set_link(host, "down")

    def mend(self, host: AgencyHost) -> None:
        """Take an agency's link up again."""
        self._set_link(host, "up")

    def _set_link(self, host: AgencyHost, state: str) -> None:
        coordinator = ["nsenter", f"--target={self.state.supervisor.pid}", "--net", "--"]
        subprocess.run([*coordinator, "ip", "link", "set", link_of(host), state], check=True)

    def ask(self, host: AgencyHost, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send HTTPS requests from an agency's host as its worker's user; gives status and text of each answer."""
        spec = {"url": self.layout.url, "ca_file": str(host.folder / "authority.pem"), "requests": requests}
        script = HERE / "asking.py"
        done = self.on_host(host, host.worker_uid, [sys.executable, "-P", str(script)], json.dumps(spec))
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    def begin(self, **conf: object) -> str:
        """Start a retraining, and return its id."""
        return self.trigger(DAG, {"interval": INTERVAL, "local_only": False, **conf})

    def finish(self, id_: str, timeout: float = 1200.0) -> None:
        """Wait until a retraining is green."""
        state = self.wait(DAG, id_, timeout)
        assert state == "success", f"the run is {state}:\n{self.failures(DAG, id_)}\n{self.agencies_logs(id_)}"

    def report(self, id_: str) -> Report:
        path = Home(self.home).report(federated_run_id(SCENARIO, id_)) / "report.json"
        return Report.model_validate_json(path.read_bytes())

    def agencies_logs(self, id_: str, dag_id: str = DAG) -> str:
        """Return the last lines that each failed task of an agency left with the agency."""
        texts = []
        for name, task in self.task_instances(dag_id, id_).items():
            if task["state"] == "failed":
                for host in self.hosts:
                    place = f"run_id={id_}/task_id={name}/attempt={task['try_number']}.log"
                    path = host.worker / "airflow" / "logs" / f"dag_id={dag_id}" / place
                    if path.exists():
                        texts.append(
                            "\n".join([f"--- {name}", *(line[:400] for line in path.read_text().splitlines()[-9:])])
                        )
        return "\n".join(texts)


def _make_small(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    config["learning"] |= {"model": "mlp", "units": 4, "local_epochs": 1}
    config["rounds"] = {"wanted": 2, "spare": 1}
    config["secagg"] |= {"n_c": 0, "t": 2}
    config["tasks"] |= {"retries": 2, "retry_delay_seconds": 1}
    config["gate"] = {"share_better": 0.0, "tolerance": 1.0}
    # Its first scheduled interval lies ahead, so that only triggered runs run.
    config["schedule"] |= {"start_date": dt.date.today() - dt.timedelta(days=1), "catchup": False}
    path.write_text(yaml.safe_dump(config))
