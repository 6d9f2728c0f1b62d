"""docker-compose.yml and the Dockerfile: valid, pinned, without a secret, and running only what `make up` runs too."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fl_airflow.edge import COORDINATOR_EXECUTOR, EDGE_EXECUTOR
from fl_airflow.server.config import read_config, server_environment
from fl_airflow.server.postgres import CONNECTIONS
from fl_airflow.server.supervisor import AIRFLOW_PARTS

from fl_tasks.contracts.config import load_federation

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "docker-compose.yml"
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
AGENCIES = (1, 2, 3, 4)
CHECK = [sys.executable, str(REPOSITORY / "scripts" / "check_compose.py")]


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load(COMPOSE.read_text())


@pytest.fixture(scope="module")
def services(compose):
    return compose["services"]


def check(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CHECK, str(path)], capture_output=True, text=True, check=False)


def test_the_file_is_valid_by_the_compose_specification():
    done = check(COMPOSE)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("find", "put", "field"),
    [
        ("condition: service_healthy", "condition: healthy", "services.airflow-init.depends_on"),
        ("stop_grace_period: 30s", "stop_grace: 30s", "services.scheduler"),
        ("test: [CMD, pg_isready", "tests: [CMD, pg_isready", "services.postgres.healthcheck"),
    ],
)
def test_a_wrong_field_is_named_by_the_check(tmp_path, find, put, field):
    text = COMPOSE.read_text()
    assert find in text
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(text.replace(find, put))
    done = check(broken)
    assert done.returncode == 1
    assert f"docker-compose.yml: {field}" in done.stdout


def test_docker_compose_itself_reads_the_file(tmp_path):
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("needs docker with its compose plugin (no engine is asked)")
    done = subprocess.run(
        [docker, "compose", "--file", str(COMPOSE), "config", "--quiet"],
        env={**os.environ, "HUILIU_SECRETS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_command_is_a_script_that_runs_without_containers_too(services):
    parts = {f"agency-{number}-{what}" for number in AGENCIES for what in ("folders", "daemon", "worker")}
    assert set(services) == {"postgres", "airflow-init", *AIRFLOW_PARTS, *parts}
    assert services["airflow-init"]["command"] == ["scripts/airflow-init.sh"]
    for name in AIRFLOW_PARTS:
        assert services[name]["command"] == ["scripts/airflow-part.sh", name]
        assert services[name]["healthcheck"]["test"] == ["CMD", "scripts/health.sh", name]
    for name in parts:
        what = name.rsplit("-", 1)[1]
        assert services[name]["command"][0] == f"scripts/agency-{what}.sh"
    for script in (service["command"][0] for name, service in services.items() if name != "postgres"):
        assert os.access(REPOSITORY / script, os.X_OK), script


def test_the_agencies_are_all_members_of_a_scenario(services):
    """A roster needs the card of every member that the coordinator's folder names: the image has the whole folder."""
    federation = load_federation(REPOSITORY / "dags" / "federation")
    named = sorted(services[f"agency-{number}-daemon"]["command"][1] for number in AGENCIES)
    assert named == [agency.agency for agency in federation.members("traffic_districts")]


def test_who_is_no_user_of_the_image_has_a_name_all_the_same(services):
    """Airflow asks the system for the user's name, and ends where there is none."""
    known = {"0", *re.findall(r"--uid (\d+)", DOCKERFILE)}
    unknown = [name for name, service in services.items() if service.get("user", "0").split(":")[0] not in known]
    assert len(unknown) == 2 * len(AGENCIES)
    for name in unknown:
        assert {"USER", "LOGNAME", "HOME"} <= set(services[name]["environment"]), name


def test_an_agency_shares_a_network_with_the_api_server_alone_and_its_two_users_share_the_socket_alone(
    compose, services
):
    for number in AGENCIES:
        network = f"to-agency-{number}"
        assert compose["networks"][network] == {"internal": True}
        there = {name for name, service in services.items() if network in service.get("networks", [])}
        assert there == {"api-server", f"agency-{number}-daemon", f"agency-{number}-worker"}
        daemon, worker = (services[f"agency-{number}-{what}"] for what in ("daemon", "worker"))
        shared = {volume.split(":")[0] for volume in daemon["volumes"]} & {
            volume.split(":")[0] for volume in worker["volumes"]
        }
        assert shared == {f"agency-{number}-run"}
        assert daemon["user"] != worker["user"]
        assert daemon["command"][3] == worker["user"].split(":")[0] == daemon["group_add"][0]


def test_whatever_is_referred_to_is_declared(compose, services):
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert {volume.split(":")[0] for volume in service["volumes"]} <= set(compose["volumes"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])


def test_no_secret_stands_in_the_file(compose, services):
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            secret = re.search("PASSWORD|SECRET|KEY|TOKEN", name)
            assert not secret or (name.endswith("_FILE") and value.startswith("/run/secrets/")), name
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())


def test_images_are_pinned_and_our_processes_have_no_privileges(services):
    for service in services.values():
        assert re.fullmatch(r"[a-z-]+:\d+\.\d+[\w.-]*", service["image"])
    for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)
    assert re.search(r"^USER (?!root)\w+$", DOCKERFILE.split("FROM")[-1], re.MULTILINE)
    for name, service in services.items():
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"]
            if not name.endswith("-folders"):  # it gives folders to their users, and has no network
                assert "cap_add" not in service
                assert service.get("user") != "0:0"
            assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_database_takes_as_many_connections_as_the_server_s_own(services):
    assert services["postgres"]["command"][1:] == ["-c", f"max_connections={CONNECTIONS}"]


def test_ports_are_published_on_the_loopback_address_only(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_image_is_made_by_the_lock_with_the_makefiles_uv():
    makefile = (REPOSITORY / "Makefile").read_text()
    version = re.search(r"^UV_VERSION := (\S+)$", makefile, re.MULTILINE).group(1)
    assert f"uv=={version}\n" in DOCKERFILE
    syncs = re.findall(r"uv sync .*", DOCKERFILE)
    assert len(syncs) == 4
    assert all(" --frozen " in sync for sync in syncs)


def test_the_builder_sees_what_the_dockerfile_copies_and_nothing_else():
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    seen = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word for words in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for word in words.split()[:-1]
    }
    assert seen == copied
    assert all((REPOSITORY / name).exists() for name in copied)


def test_the_init_script_writes_the_configuration_of_the_compose_file(services, tmp_path):
    """The script's last step, the database, is left to the server's own tests: `init` is only noted here."""
    password = tmp_path / "database_password"
    password.write_text("a word/with: signs\n")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$4" = init ] && {{ touch "{tmp_path}/init"; exit 0; }}\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o700)
    env = {
        name: value.replace("${HUILIU_PORT:-8443}", "8443")
        for name, value in services["airflow-init"]["environment"].items()
    }
    home = tmp_path / "home"
    env |= {"HUILIU_HOME": str(home), "HUILIU_DATABASE_PASSWORD_FILE": str(password), "HUILIU_PYTHON": str(python)}
    for _ in range(2):
        done = subprocess.run(
            [REPOSITORY / services["airflow-init"]["command"][0]],
            env={"PATH": os.environ["PATH"], **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "init").exists()
    config = read_config(home)
    assert (config.host, config.port, config.database_host, config.database_port) == ("0.0.0.0", 8443, "postgres", 5432)
    assert config.url == "https://api-server:8443"
    url = (home / "server" / "secrets" / "database_url").read_text()
    assert url == "postgresql+psycopg2://airflow:a%20word%2Fwith%3A%20signs@postgres:5432/airflow"
    airflow = server_environment(home, config)
    assert airflow["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "https://api-server:8443/execution/"
    assert airflow["AIRFLOW__API__BASE_URL"] == "https://127.0.0.1:8443"
    assert airflow["AIRFLOW__CORE__EXECUTOR"] == f"{COORDINATOR_EXECUTOR},{EDGE_EXECUTOR}"
    for name in ("AIRFLOW__API__SSL_CERT", "AIRFLOW__API__SSL_KEY", "AIRFLOW__API__SSL_CA_FILE"):
        assert Path(airflow[name]).exists()
    assert set(json.loads((home / "server" / "passwords.json").read_text())) == {"admin"}
