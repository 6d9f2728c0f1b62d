"""The files for systemd: each process as its own user, with nothing to write to but its own folders."""

from __future__ import annotations

import configparser
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from fl_tasks.agency.units import OfficersSite, Site, write_units
from fl_tasks.contracts.errors import ConfigError
from tests.attacks.agency_site import AGENCY, REPOSITORY

DAEMON, WORKER, OFFICER = (f"huiliu-{AGENCY}-{part}.service" for part in ("daemon", "worker", "officer"))
USERS = f"huiliu-{AGENCY}.conf"
HARDENED = ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID", "RestrictNamespaces")


OPTIONS = (
    *("units", "--user", "huiliu-ne", "--worker-user", "huiliu-ne-worker"),
    *("--socket-folder", "/var/lib/huiliu/run", "--worker-folder", "/var/lib/huiliu/worker"),
)


def written(host, out: Path, *officer: str) -> list[str]:
    """Return the lines of `fl agency units`, which writes into `out`."""
    return host.done(*OPTIONS, *officer, "--out", out).out.splitlines()


@pytest.fixture
def units(host, tmp_path) -> Path:
    out = tmp_path / "units"
    said = written(host, out, "--officer-user", "huiliu-ne-officer", "--officer-folder", "/var/lib/huiliu/officer")
    assert said == [f"{AGENCY}: {out / name}" for name in (DAEMON, WORKER, OFFICER, USERS)]
    return out


def test_without_an_officer_there_is_no_unit_and_no_user_of_one(host, tmp_path):
    out = tmp_path / "units"
    assert written(host, out) == [f"{AGENCY}: {out / name}" for name in (DAEMON, WORKER, USERS)]
    assert "data officer" not in (out / USERS).read_text()


def test_an_officers_user_and_folder_belong_together(host, tmp_path):
    said = host.agency(*OPTIONS, "--officer-user", "huiliu-ne-officer", "--out", tmp_path)
    assert said.code == 10
    assert "belong together" in said.error
    assert list(tmp_path.glob("*.service")) == []


def service(path: Path) -> dict[str, list[str]]:
    """Return the values of each key of a unit's section [Service]."""
    found: dict[str, list[str]] = {}
    section = path.read_text().split("[Service]\n")[1].split("\n[")[0]
    for line in section.splitlines():
        if line:
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def test_they_are_three_users_with_no_way_to_rights(units):
    daemon, worker, officer = (service(units / name) for name in (DAEMON, WORKER, OFFICER))
    users = [one["User"] for one in (daemon, worker, officer)]
    assert users == [["huiliu-ne"], ["huiliu-ne-worker"], ["huiliu-ne-officer"]]
    for one in (daemon, worker, officer):
        assert one["ProtectSystem"] == ["strict"]
        assert one["CapabilityBoundingSet"] == [""]
        assert [one[key] for key in HARDENED] == [["yes"]] * len(HARDENED)


def test_each_writes_in_its_own_folders_alone(units, host):
    daemon, worker = service(units / DAEMON), service(units / WORKER)
    assert daemon["ReadWritePaths"] == [f"{host.home.root} /var/lib/huiliu/run"]
    assert worker["ReadWritePaths"] == ["/var/lib/huiliu/worker"]
    assert worker["InaccessiblePaths"] == [str(host.home.root)]
    assert service(units / OFFICER)["ReadWritePaths"] == ["/var/lib/huiliu/officer"]


def test_the_officers_takes_plans_over_without_any_network(units, host):
    officer = service(units / OFFICER)
    assert officer["ExecStart"] == [f"{REPOSITORY}/.venv/bin/fl officer receive --watch 60"]
    assert officer["Environment"] == [f"HUILIU_HOME={host.home.root}", "HUILIU_OFFICER=/var/lib/huiliu/officer"]
    assert (officer["PrivateNetwork"], officer["RestrictAddressFamilies"]) == (["yes"], ["AF_UNIX"])


def test_they_start_the_scripts_that_every_deployment_starts(units, host):
    (daemon,), (worker,) = service(units / DAEMON)["ExecStart"], service(units / WORKER)["ExecStart"]
    assert daemon == f"{REPOSITORY}/scripts/agency-daemon.sh {AGENCY} /var/lib/huiliu/run huiliu-ne-worker"
    assert worker == f"{REPOSITORY}/scripts/agency-worker.sh /var/lib/huiliu/worker"
    assert f"HUILIU_HOME={host.home.root}" in service(units / DAEMON)["Environment"]
    assert f"HUILIU_FEDERATION={host.federation}" in service(units / DAEMON)["Environment"]
    assert "Environment" not in service(units / WORKER)  # the worker is told by its own folder


def test_the_files_are_whole_units_for_everyone_to_read(units):
    for name in (DAEMON, WORKER, OFFICER):
        parsed = configparser.ConfigParser(strict=False, interpolation=None)
        parsed.read(units / name)
        assert parsed.sections() == ["Unit", "Service", "Install"]
        assert stat.S_IMODE((units / name).stat().st_mode) == 0o644


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not verified: systemd-analyze is not here")
def test_systemd_takes_the_units(units):
    argv = ["systemd-analyze", "verify", "--man=no", *(str(units / name) for name in (DAEMON, WORKER, OFFICER))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "huiliu" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="not verified: systemd-sysusers is not here")
def test_sysusers_makes_the_users_and_lets_the_daemon_give_its_socket_away(units, tmp_path):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    done = subprocess.run(
        ["systemd-sysusers", f"--root={root}", str(units / USERS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    users = {line.split(":")[0] for line in (root / "etc" / "passwd").read_text().splitlines()}
    groups = {line.split(":")[0]: line.split(":")[3] for line in (root / "etc" / "group").read_text().splitlines()}
    assert {"huiliu-ne", "huiliu-ne-worker", "huiliu-ne-officer"} <= users
    assert groups["huiliu-ne-worker"] == "huiliu-ne"


def site(**changes) -> Site:
    fields = {
        "agency": AGENCY,
        "repository": Path("/opt/huiliu"),
        "home": Path("/var/lib/huiliu/home"),
        "federation": Path("/var/lib/huiliu/dags/federation"),
        "socket_folder": Path("/var/lib/huiliu/run"),
        "worker_folder": Path("/var/lib/huiliu/worker"),
        "user": "huiliu",
        "worker_user": "huiliu-worker",
    }
    return Site(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"worker_user": "huiliu"}, "is the daemon's user as well"),
        ({"officer": OfficersSite(Path("/var/lib/officer"), "huiliu")}, "is the daemon's or the worker's user as well"),
        ({"officer": OfficersSite(Path("/var/lib/an officer"), "officer")}, "systemd needs a path of letters"),
        ({"user": "root\nExecStart=/bin/sh"}, "needed is a name of small letters"),
        ({"worker_user": "64002"}, "needed is a name of small letters"),
        ({"home": Path("/var/lib/my home")}, "systemd needs a path of letters"),
        ({"worker_folder": Path("/var/%h")}, "systemd needs a path of letters"),
    ],
)
def test_what_systemd_would_take_for_something_else_is_refused(tmp_path, changes, text):
    with pytest.raises(ConfigError, match=text):
        write_units(site(**changes), tmp_path)
    assert list(tmp_path.iterdir()) == []
