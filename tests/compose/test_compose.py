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
from fl_airflow.server.config import read_config, server_environment
from fl_airflow.server.supervisor import AIRFLOW_PARTS

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "docker-compose.yml"
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
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


def test_every_command_is_a_script_that_make_up_runs_too(services):
    of_ours = {name: service for name, service in services.items() if name != "postgres"}
    assert set(of_ours) == {"airflow-init", *AIRFLOW_PARTS}
    assert of_ours.pop("airflow-init")["command"] == ["scripts/airflow-init.sh"]
    for name, service in of_ours.items():
        assert service["command"] == ["scripts/airflow-part.sh", name]
        assert service["healthcheck"]["test"] == ["CMD", "scripts/health.sh", name]
    for script in ("airflow-init.sh", "airflow-part.sh", "health.sh"):
        assert os.access(REPOSITORY / "scripts" / script, os.X_OK)


def test_whatever_is_referred_to_is_declared(compose, services):
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert {volume.split(":")[0] for volume in service["volumes"]} <= set(compose["volumes"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])


def test_no_secret_stands_in_the_file(compose, services):
    for service in services.values():
        for name, value in service["environment"].items():
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
            assert service["security_opt"] == ["no-new-privileges:true"]


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
        name: value.replace("${HUILIU_PORT:-8080}", "8080")
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
    assert (config.host, config.port, config.database_host, config.database_port) == ("0.0.0.0", 8080, "postgres", 5432)
    assert config.url == "http://api-server:8080"
    url = (home / "server" / "secrets" / "database_url").read_text()
    assert url == "postgresql+psycopg2://airflow:a%20word%2Fwith%3A%20signs@postgres:5432/airflow"
    airflow = server_environment(home, config)
    assert airflow["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert airflow["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8080"
    assert set(json.loads((home / "server" / "passwords.json").read_text())) == {"admin"}
