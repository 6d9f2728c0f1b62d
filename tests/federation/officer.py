"""The data officer of one agency of the federation: an OS user of its own on the agency's host, with PySyft."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import yaml
from fl_airflow.graph import OFFICERS
from fl_airflow.hosts.layout import AgencyHost
from fl_airflow.hosts.users import agency_environment, user_environment
from fl_airflow.installation import REPOSITORY, federated_run_id

from tests.federation.site import DAG, SCENARIO, Site

_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_BESIDE_THE_OTHERS = 900  # to the federation's first user's number


class Officer:
    """As docs/how-to/officer.md sets one up.

    Args:
        site: A federation that runs.
        host: Whose officer.
    """

    def __init__(self, site: Site, host: AgencyHost) -> None:
        self.site = site
        self.host = host
        self.uid = site.layout.uid + _BESIDE_THE_OTHERS
        self.folder = host.folder / "officer"
        folders = (host.home.root, host.socket_folder, host.worker)
        users = (str(host.daemon_uid), str(host.worker_uid))
        script = REPOSITORY / "scripts" / "agency-folders.sh"
        subprocess.run([script, *folders, *users, self.folder, str(self.uid)], check=True)
        (key,) = _SHA256.findall(self.operator("officer"))
        self.fl("init", "--agency", host.name, "--coordinator", key)
        self.operator("officer", "--card", str(self.folder / "card.json"))
        self.fl("register", "--scenario", SCENARIO)
        decided_by(host.home.agency(host.name) / "policy.yaml", "officer")

    def operator(self, *words: str) -> str:
        """Run `fl agency WORDS` as the daemon's user, and return what it said."""
        return self._run(
            self.host.daemon_uid, agency_environment(self.host), "agency", *words, "--agency", self.host.name
        )

    def fl(self, *words: str) -> str:
        """Run `fl officer WORDS` as the officer's user, and return what it said."""
        env = user_environment(self.folder) | {
            "HUILIU_HOME": str(self.host.home.root),
            "HUILIU_OFFICER": str(self.folder),
            "HUILIU_FEDERATION": str(self.host.dags / "federation"),
        }
        return self._run(self.uid, env, "officer", *words)

    def asked(self, id_: str) -> dict[str, str | None]:
        """Wait until a retraining waits for this officer; return the state of each of its tasks then."""
        end = time.monotonic() + 600.0
        while time.monotonic() < end:
            states = {name: task["state"] for name, task in self.site.task_instances(DAG, id_).items()}
            if states[OFFICERS] == "deferred":
                return states
            assert states[OFFICERS] not in ("success", "failed", "upstream_failed"), self.site.agencies_logs(id_)
            time.sleep(1.0)
        raise AssertionError(f"nobody is asked: {states}")

    def shown(self, id_: str) -> str:
        """Take the plan of a retraining over, and return what is shown of it."""
        self.fl("receive")
        return self.fl("show", federated_run_id(SCENARIO, id_))

    def approve(self, id_: str, shown: str) -> None:
        """Approve a retraining's plan by the digest that is shown last."""
        self.fl("approve", federated_run_id(SCENARIO, id_), "--digest", _SHA256.findall(shown)[-1])

    def _run(self, uid: int, env: dict[str, str], *words: str) -> str:
        done = self.site.on_host(self.host, uid, [sys.executable, "-P", "-m", "fl_tasks", *words], env=env)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout


def decided_by(policy: Path, who: str) -> None:
    """Say in an agency's policy who decides on a plan; the file stays its owner's."""
    content = yaml.safe_load(policy.read_text())
    content["scenarios"][SCENARIO]["approval"] = who
    policy.write_text(yaml.safe_dump(content))
