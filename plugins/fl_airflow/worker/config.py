"""How an agency's edge worker is set up: one file in the worker's own folder, its token key beside it.

The worker is another operating-system user than the agency's daemon: in its folder are no data, no key of the
protocol and no policy. It fetches the tasks of one queue, and asks the daemon for every stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import Field, ValidationError

from fl_airflow.edge import EDGE_EXECUTOR, TOKEN_AUDIENCE
from fl_airflow.settings import environment
from fl_airflow.stage_process import DAEMON_SOCKET
from fl_tasks.contracts.base import Contract, Name, describe, make_private_folder, write_atomic
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.exchange.admitted import key_id

_HOW = "`python -m fl_airflow.worker init`"


class WorkerConfig(Contract):
    """Where an agency's worker gets its tasks and who does them; `worker.json` in its folder."""

    schema_: Literal[1] = Field(alias="schema", description="version of this format")
    agency: Name = Field(description="whose tasks it runs; also its name at the server")
    queue: str = Field(description="the agency's queue, as its YAML in the federation folder names it")
    url: str = Field(pattern=r"^https://[^/]+$", description="the coordinator's server, like https://hub.example:8443")
    ca_file: Path = Field(description="certificate authority of the server's certificate, PEM")
    socket_folder: Path = Field(description="where the agency's daemon listens")
    dags_folder: Path = Field(description="the agency's own DAG files")
    concurrency: int = Field(default=2, ge=1, le=32, description="most tasks at one time")


def config_path(folder: Path) -> Path:
    """Return the worker's configuration in its folder."""
    return folder / "worker.json"


def key_path(folder: Path) -> Path:
    """Return the PEM file with the key that signs the worker's tokens, mode 0600."""
    return folder / "airflow.pem"


def configure_worker(folder: Path, config: WorkerConfig, key: bytes) -> None:
    """Write the worker's configuration and key.

    Args:
        folder: The worker's own; made with mode 0700.
        config: What to write.
        key: The agency's raw Ed25519 private key for Airflow's tokens, 32 bytes (keys/airflow.key).

    Raises:
        ConfigError: If the key is none.
    """
    try:
        private = Ed25519PrivateKey.from_private_bytes(key)
    except ValueError as error:
        raise ConfigError("the worker's key must be 32 raw bytes, as in the agency's keys/airflow.key") from error
    make_private_folder(folder)
    make_private_folder(_lineage_file(folder).parent)  # its writer makes the file, not the folder
    write_atomic(key_path(folder), private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_atomic(config_path(folder), config.model_dump_json(by_alias=True, indent=2).encode())


def read_worker_config(folder: Path) -> WorkerConfig:
    """Return a worker's configuration.

    Raises:
        ConfigError: If there is none, or it is not valid.
    """
    path = config_path(folder)
    try:
        return WorkerConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is not there; `python -m fl_airflow.worker init` writes it") from error
    except ValidationError as error:
        raise ConfigError(
            f"{path}: {describe(error)}; write it anew with `python -m fl_airflow.worker init`"
        ) from error


def public_key(folder: Path) -> str:
    """Return the public half of the worker's key, 64 hexadecimal digits.

    Raises:
        ConfigError: If there is no key, or it is damaged.
    """
    path = key_path(folder)
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError(f"{path}: no readable key ({type(error).__name__}); set the worker up anew") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path}: holds no Ed25519 key; set the worker up anew")
    return private.public_key().public_bytes_raw().hex()


def worker_environment(folder: Path, config: WorkerConfig) -> dict[str, str]:
    """Return the whole environment of an agency's worker and of its tasks.

    There is no database in it, no connection and no secret but the path of the worker's own key.
    """
    env = environment(folder, lineage=_lineage_file(folder))
    del env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    return env | {
        DAEMON_SOCKET: str(config.socket_folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(config.dags_folder),
        "AIRFLOW__CORE__EXECUTOR": EDGE_EXECUTOR,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{config.url}/execution/",
        "AIRFLOW__EDGE__API_URL": f"{config.url}/edge_worker/v1/rpcapi",
        # Twenty workers that ask every second keep a core of the server busy.
        "AIRFLOW__EDGE__JOB_POLL_INTERVAL": "2",
        "AIRFLOW__EDGE__HEARTBEAT_INTERVAL": "5",
        # What a task writes stays in the agency: the server gets its state, not its lines.
        "AIRFLOW__EDGE__PUSH_LOGS": "False",
        "AIRFLOW__EDGE__WORKER_CONCURRENCY": str(config.concurrency),
        "AIRFLOW__API_AUTH__JWT_SECRET": "",
        "AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH": str(key_path(folder)),
        "AIRFLOW__API_AUTH__JWT_ALGORITHM": "EdDSA",
        "AIRFLOW__API_AUTH__JWT_ISSUER": config.agency,
        "AIRFLOW__API_AUTH__JWT_AUDIENCE": TOKEN_AUDIENCE,
        "AIRFLOW__API_AUTH__JWT_KID": key_id(config.agency, public_key(folder)),
        "AIRFLOW__API__SSL_CA_FILE": str(config.ca_file),
        # Only the authority that the agency was given speaks for the server, none that the system trusts.
        "AIRFLOW__API__CLIENT_USE_PUBLIC_CERTS": "False",
        "SSL_CERT_FILE": str(config.ca_file),
    }


def _lineage_file(folder: Path) -> Path:
    """The lineage events of the agency's tasks, which stay with the worker."""
    return folder / "lineage" / "openlineage.jsonl"
