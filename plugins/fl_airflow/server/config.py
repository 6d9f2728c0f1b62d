"""How a server is set up: one file below the home folder, secrets beside it, and Airflow's environment from both."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import Field, ValidationError

from fl_airflow.edge import AGENCIES_COME, COORDINATOR_EXECUTOR, EDGE_EXECUTOR, TOKEN_AUDIENCE
from fl_airflow.server.errors import ServerError
from fl_airflow.server.postgres import ADDRESS, API_CONNECTIONS, reachable
from fl_airflow.settings import environment, tasks_here
from fl_tasks.contracts.base import Contract, describe, write_atomic
from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.admitted import jwks_path

USER = "admin"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - what agencies come to; each request needs their key or a login
DATABASE = "airflow"
AUTHORITY, CERTIFICATE, PRIVATE_KEY = "authority.pem", "server.pem", "server.key"
_TASKS_AT_ONCE = 128  # of all agencies and scenarios: the slots of Airflow's default pool
_SECRETS = ("jwt_secret", "api_secret_key", "fernet_key", "database_password", "database_url")


class ServerConfig(Contract):
    """Where the server listens and where its database is; `server/config.json` below the home folder."""

    schema_: Literal[1] = Field(alias="schema", description="version of this format")
    host: str = Field(description="address that the API and the UI listen on")
    port: int = Field(ge=1, le=65535, description="port of the API and the UI")
    url: str = Field(description="how the other parts reach the API, like http://127.0.0.1:8080")
    public_url: str = Field(description="how people reach the UI; it stands in links")
    database_host: str = Field(description="where PostgreSQL listens")
    database_port: int = Field(ge=1, le=65535, description="port of PostgreSQL")
    dags_folder: str = Field(description="absolute path of the DAG files")
    tls: bool = Field(default=False, description="HTTPS, with the certificate in server/tls; url begins with https")
    agencies: bool = Field(
        default=False, description="agencies are on machines of their own: their edge workers and daemons come here"
    )
    absent_seconds: int = Field(
        default=300, ge=5, description="with agencies: a task that no worker fetches for so long has failed"
    )
    rest_seconds: float = Field(
        default=1.0,
        gt=0,
        le=5,
        description="how long the scheduler rests when nothing has come; about 0.2 for each agency of a federation",
    )

    @classmethod
    def for_agencies(
        cls, names: Sequence[str], host: str, port: int, database_port: int, dags_folder: Path
    ) -> ServerConfig:
        """Return the configuration of a coordinator whose agencies come over the network: HTTPS at its names.

        Its own parts reach the API at the loopback address, or the one that it listens on, which the certificate needs
        as well.
        """
        here = cls.on_this_machine(port, database_port, dags_folder)
        changed = {
            "host": host,
            "url": f"https://{ADDRESS if host == EVERY_ADDRESS else host}:{port}",
            "public_url": f"https://{names[0]}:{port}",
            "tls": True,
            "agencies": True,
        }
        return here.model_copy(update=changed)

    @classmethod
    def on_this_machine(cls, port: int, database_port: int, dags_folder: Path) -> ServerConfig:
        """Return the configuration of `make up`: nothing listens on more than the loopback address."""
        return cls(
            schema=1,
            host=ADDRESS,
            port=port,
            url=f"http://{ADDRESS}:{port}",
            public_url=f"http://{ADDRESS}:{port}",
            database_host=ADDRESS,
            database_port=database_port,
            dags_folder=str(dags_folder),
        )


def config_path(home: Path) -> Path:
    """Return the file that keeps the configuration."""
    return server_folder(home) / "config.json"


def server_folder(home: Path) -> Path:
    """Return the folder of the server's configuration, state, secrets and logs, mode 0700."""
    return home / "server"


def tls_folder(home: Path) -> Path:
    """Return the folder with the server's certificate and key, and with the authority that agencies are given."""
    return server_folder(home) / "tls"


def authority_file(home: Path, config: ServerConfig) -> Path | None:
    """Return the PEM file of the certificate authority that the server's certificate comes from; None without TLS."""
    return tls_folder(home) / AUTHORITY if config.tls else None


def passwords_file(home: Path) -> Path:
    """Return the JSON file with the passwords of the UI's users, mode 0600, as the simple auth manager reads it."""
    return server_folder(home) / "passwords.json"


def lineage_file(home: Path) -> Path:
    """Return the file with the lineage events of all of the server's runs, one a line."""
    return home / "lineage" / "openlineage.jsonl"


def cluster_folder(home: Path) -> Path:
    """Return where the database is: below the home folder, unless PostgreSQL's user cannot get there.

    That is so where root keeps the home folder below a folder of its own, like /root. A folder below /var/lib that
    is named after the home folder takes its place then.
    """
    if reachable(home):
        return home / "postgres"
    return Path("/var/lib/huiliu") / hashlib.sha256(os.fsencode(home)).hexdigest()[:12] / "postgres"


def configure(home: Path, config: ServerConfig, database_password: str | None = None) -> None:
    """Write the configuration, and make the secrets that are not there yet.

    Args:
        home: The installation's home folder.
        config: What to write.
        database_password: The password of Airflow's role; by default one is made, once.

    Raises:
        ServerError: If the folder cannot be written.
    """
    folder = server_folder(home)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lineage_file(home).parent.mkdir(exist_ok=True, mode=0o700)  # its writer makes the file, not the folder
        _make_once(folder / "secrets" / "jwt_secret", secrets.token_urlsafe(48))
        _make_once(folder / "secrets" / "api_secret_key", secrets.token_urlsafe(48))
        # A Fernet key is 32 random bytes in URL-safe base64.
        _make_once(folder / "secrets" / "fernet_key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
        _make_once(passwords_file(home), json.dumps({USER: secrets.token_urlsafe(18)}))
        password = folder / "secrets" / "database_password"
        if database_password is None:
            _make_once(password, secrets.token_urlsafe(24))
        else:
            write_atomic(password, database_password.encode())
        url = (
            f"postgresql+psycopg2://{DATABASE}:{quote(password.read_text(), safe='')}"
            f"@{config.database_host}:{config.database_port}/{DATABASE}"
        )
        write_atomic(folder / "secrets" / "database_url", url.encode())
        write_atomic(config_path(home), config.model_dump_json(by_alias=True, indent=2).encode())
    except OSError as error:
        raise not_writable(folder, error) from error


def read_config(home: Path) -> ServerConfig:
    """Return the server's configuration.

    Raises:
        ServerError: If there is none, or it is not valid.
    """
    path = config_path(home)
    try:
        return ServerConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ServerError(f"{path} is not there; `make up` writes it") from error
    except ValidationError as error:
        raise ServerError(f"{path}: {describe(error)}; remove it and run `make up`") from error


def database_password(home: Path) -> str:
    """Return the password of Airflow's role in the database."""
    return (server_folder(home) / "secrets" / "database_password").read_text()


def admin_password(home: Path) -> str:
    """Return the password of the UI's user `admin`."""
    return str(json.loads(passwords_file(home).read_text())[USER])


def server_environment(home: Path, config: ServerConfig) -> dict[str, str]:
    """Return the environment of every part of the server, and of each `airflow` command that is to see it.

    Secrets are not in it: Airflow reads them from their files by the option's `_CMD` form.
    """
    env = environment(home, lineage=lineage_file(home))
    del env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    folder = server_folder(home)
    files = {name: f"cat {shlex.quote(str(folder / 'secrets' / name))}" for name in _SECRETS}
    if config.tls:
        env |= _tls_environment(tls_folder(home))
    env |= {
        "AIRFLOW__API_AUTH__JWT_SECRET_CMD": files["jwt_secret"],
        "AIRFLOW__API__SECRET_KEY_CMD": files["api_secret_key"],
        "AIRFLOW__CORE__FERNET_KEY_CMD": files["fernet_key"],
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": files["database_url"],
        # A request keeps its connection while it waits for a thread to write its answer; if all 40 threads of the API
        # server wait for a connection then, nothing goes on until the pool gives up, after 30 s. That takes as many
        # requests at a time as there are connections and threads: 55 with Airflow's own 15 connections.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "10",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": str(API_CONNECTIONS - 10),
        "AIRFLOW__CORE__DAGS_FOLDER": config.dags_folder,
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # Training is held to the cores by its pool.
        "AIRFLOW__CORE__PARALLELISM": str(tasks_here()),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file(home)),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{config.url}/execution/",
        "AIRFLOW__API__HOST": config.host,
        "AIRFLOW__API__PORT": str(config.port),
        "AIRFLOW__API__BASE_URL": config.public_url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": str(config.rest_seconds),
        # A task whose process was killed, or whose scheduler died, is seen and retried within about a minute.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        # Process titles are written beside the environment, not over it: a stop finds its processes by it.
        "SPT_NOENV": "1",
    }
    return env | (_agencies_environment(home, config) if config.agencies else {})


def _tls_environment(folder: Path) -> dict[str, str]:
    return {
        "AIRFLOW__API__SSL_CERT": str(folder / CERTIFICATE),
        "AIRFLOW__API__SSL_KEY": str(folder / PRIVATE_KEY),
        "AIRFLOW__API__SSL_CA_FILE": str(folder / AUTHORITY),
        "AIRFLOW__API__CLIENT_USE_PUBLIC_CERTS": "False",
    }


def _agencies_environment(home: Path, config: ServerConfig) -> dict[str, str]:
    """Open the server to agencies: the worker API for their own keys only, and the federated server."""
    return {
        AGENCIES_COME: "1",
        "HUILIU_FEDERATION": str(Path(config.dags_folder) / "federation"),
        "AIRFLOW__EDGE__API_ENABLED": "True",
        "AIRFLOW__EDGE__API_URL": f"{config.url}/edge_worker/v1/rpcapi",
        "AIRFLOW__EDGE__TRUSTED_JWKS_URL": str(jwks_path(Home(home))),
        "AIRFLOW__EDGE__JWT_ALGORITHM": "EdDSA",
        "AIRFLOW__EDGE__JWT_AUDIENCE": TOKEN_AUDIENCE,
        # The gate has held the token's issuer against its key before.
        "AIRFLOW__EDGE__JWT_VERIFIER": "fl_airflow.gate.verifier.admit",
        "AIRFLOW__EDGE__HEARTBEAT_INTERVAL": "5",
        # In each of its loops the scheduler reads all jobs of the table, those that are over, too.
        "AIRFLOW__EDGE__JOB_SUCCESS_PURGE": "1",
        "AIRFLOW__CORE__EXECUTOR": f"{COORDINATOR_EXECUTOR},{EDGE_EXECUTOR}",
        # An agency's task costs this machine nothing, and must not wait for another agency that is away.
        "AIRFLOW__CORE__PARALLELISM": str(_TASKS_AT_ONCE),
        # One decision sends all agencies to work, not the first sixteen.
        "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "0",
        # An agency that is away does not hold up the run for longer, and is not waited for a second time.
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(config.absent_seconds),
        # The scheduler rests no longer than to its next look.
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": str(min(max(5, config.absent_seconds // 10), 30)),
        "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "0",
    }


def not_writable(folder: Path, error: OSError) -> ServerError:
    """Return the error to raise where a folder of the server cannot be written."""
    return ServerError(
        f"{folder} cannot be written ({error.strerror}); set HUILIU_HOME to a folder of your own on a disk with room"
    )


def _make_once(path: Path, text: str) -> None:
    if not path.exists():
        write_atomic(path, text.encode())
