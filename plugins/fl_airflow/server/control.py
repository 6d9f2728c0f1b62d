"""Start, show and stop the server from outside: what `make up` and `make down` do."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from fl_airflow.installation import DAGS_FOLDER
from fl_airflow.server.api import health
from fl_airflow.server.certificates import certificate_names, make_certificates
from fl_airflow.server.config import (
    EVERY_ADDRESS,
    USER,
    ServerConfig,
    admin_password,
    authority_file,
    config_path,
    configure,
    not_writable,
    passwords_file,
    read_config,
    server_folder,
    tls_folder,
)
from fl_airflow.server.errors import ApiError, ServerError
from fl_airflow.server.postgres import ADDRESS, binaries, free_port
from fl_airflow.server.processes import SERVER_ID, SERVER_PART, kill_marked, marked, wait_until_gone
from fl_airflow.server.state import ServerState, read_state
from fl_airflow.server.supervisor import POSTGRES, stop_postgres

START_SECONDS = 240.0
# The supervisor needs at most its own time limits one after another.
_STOP_SECONDS = 75.0
_SECONDS_BETWEEN_LOOKS = 0.3


def up(
    home: Path,
    port: int,
    say: Callable[[str], None],
    *,
    dags_folder: Path = DAGS_FOLDER,
    names: Sequence[str] = (),
    listen: str = EVERY_ADDRESS,
) -> None:
    """Start the server and return once every part says that it is healthy.

    Args:
        home: The installation's home folder.
        port: Of the API and the UI.
        say: Gets a line for each thing that is worth telling.
        dags_folder: Where the DAG files are.
        names: Host names and IP addresses at which agencies reach it: HTTPS, open to those that are admitted. Without
            them it listens on the loopback address alone.
        listen: Address that it listens on, with names.

    Raises:
        ServerError: If it cannot be started, or its home folder is that of a server of the other kind or of other
            names; nothing is left running then.
    """

    former = read_config(home) if config_path(home).exists() else None
    _need_kind(home, former, names)

    def configured() -> ServerConfig:
        _need_free(listen if names else ADDRESS, port)
        database_port = _database_port(former)
        if names:
            config = ServerConfig.for_agencies(names, listen, port, database_port, dags_folder.resolve())
            if former is not None:  # an operator may have set them
                times = former.model_dump(include={"absent_seconds", "rest_seconds"})
                config = config.model_copy(update=times)
            make_certificates(tls_folder(home), (*names, str(urlsplit(config.url).hostname)))
        else:
            config = ServerConfig.on_this_machine(port, database_port, dags_folder.resolve())
        configure(home, config)
        return config

    bring_up(home, configured, (sys.executable, "-P", "-m", "fl_airflow.server", "supervise"), say)


def bring_up(
    home: Path,
    configured: Callable[[], ServerConfig],
    supervise: Sequence[str],
    say: Callable[[str], None],
    *,
    seconds: float = START_SECONDS,
    stop: str = "make down",
) -> None:
    """Start a server by its supervisor, unless it is up, and return once every part says that it is healthy.

    Args:
        home: The installation's home folder.
        configured: Writes the server's configuration and returns it; called if there is something to start.
        supervise: The command of the supervisor.
        say: Gets a line for each thing that is worth telling.
        seconds: After which a start has failed.
        stop: The command that stops it, to be told.

    Raises:
        ServerError: If it cannot be started; nothing is left running then.
    """
    with _alone(home):
        state = read_state(home)
        if state is not None and state.supervisor.alive:
            config = read_config(home)
            say(f"the server is up already ({state.phase}: {state.message})")
            say(f"{config.url}  user {USER}, password in {passwords_file(home)}")
            return
        if state is not None and marked(state.server_id):
            say("the last server was not stopped properly; stopping what it left")
            _sweep(state.server_id)
        binaries()
        first = state is None
        config = configured()
        server_id = uuid.uuid4().hex
        supervisor = _start_supervisor(home, server_id, supervise)
        try:
            _wait_until_healthy(home, server_id, supervisor, config, say, seconds)
        except BaseException:
            _stop(home, server_id)
            raise
        password = f"password {admin_password(home)}" if first else f"password in {passwords_file(home)}"
        say(f"Airflow is up: {config.url}  user {USER}, {password}")
        if first:
            say(f"(the password is shown this once; it is kept in {passwords_file(home)})")
        say(f"logs: {server_folder(home) / 'logs'}, tasks: {home / 'airflow' / 'logs'}; stop it with `{stop}`")


def down(home: Path, say: Callable[[str], None]) -> None:
    """Stop the server with everything that it started, and return once nothing of it runs.

    Raises:
        ServerError: If something could not be stopped.
    """
    with _alone(home):
        state = read_state(home)
        if state is None or not (state.supervisor.alive or marked(state.server_id)):
            say("the server is not running")
            return
        _stop(home, state.server_id)
        say("the server is down; no process of it is left")


def status(home: Path, say: Callable[[str], None]) -> bool:
    """Tell how the server does; return whether every part is healthy."""
    state = read_state(home)
    if state is None or not state.supervisor.alive:
        say("the server is not running")
        return False
    say(f"{state.phase}: {state.message}")
    healthy = _health(home, read_config(home))
    for name, part in state.parts.items():
        process = "gave up" if part.gave_up else "-" if part.process is None else f"process {part.process.pid}"
        say(f"{name:15}{process:16}started {part.starts} times  {healthy.get(name, '')}")
    return state.phase == "running" and all(word == "healthy" for word in healthy.values())


def _start_supervisor(home: Path, server_id: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
    path = server_folder(home) / "logs" / "supervisor.log"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("ab") as log:
        return subprocess.Popen(
            command,
            env={**os.environ, "HUILIU_HOME": str(home), SERVER_ID: server_id, SERVER_PART: "supervisor"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )


def _wait_until_healthy(
    home: Path,
    server_id: str,
    supervisor: subprocess.Popen[bytes],
    config: ServerConfig,
    say: Callable[[str], None],
    seconds: float,
) -> None:
    end = time.monotonic() + seconds
    told = ""
    while True:
        ended = supervisor.poll() is not None
        state = read_state(home)
        if state is None or state.server_id != server_id:
            state = None
        elif state.message != told and state.phase in ("starting", "running"):
            told = state.message
            say(f"starting: {told}")
        _raise_if_lost(home, state, ended)
        unhealthy = [part for part, word in _health(home, config).items() if word != "healthy"]
        if state is not None and state.phase == "running" and not unhealthy:
            return
        if time.monotonic() > end:
            raise ServerError(
                f"not healthy after {seconds:.0f} s: {', '.join(unhealthy)}; read {server_folder(home) / 'logs'}"
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _raise_if_lost(home: Path, state: ServerState | None, ended: bool) -> None:
    logs = server_folder(home) / "logs"
    if ended:
        reason = "" if state is None else state.message
        raise ServerError(reason or f"the supervisor ended at once; {logs / 'supervisor.log'} says why")
    lost = [name for name, part in state.parts.items() if part.gave_up] if state is not None else []
    if lost:
        raise ServerError(f"{', '.join(lost)} ended again and again; {logs / f'{lost[0]}.log'} says why")


def _health(home: Path, config: ServerConfig) -> dict[str, str]:
    try:
        return health(config.url, authority_file(home, config))
    except ApiError:
        return {"api-server": "no answer"}


def _stop(home: Path, server_id: str) -> None:
    state = read_state(home)
    if state is not None and state.server_id == server_id:
        state.supervisor.signal(signal.SIGTERM)
        wait_until_gone([state.supervisor], _STOP_SECONDS)
    _sweep(server_id)


def _sweep(server_id: str) -> None:
    """End what is left of a server whose supervisor is gone, does not answer, or never got to write its state."""
    kill_marked(server_id, spare=(POSTGRES,))
    stop_postgres(server_id)
    left = marked(server_id)
    if left:
        names = ", ".join(f"{process.pid} ({part})" for process, part in left.items())
        raise ServerError(f"these processes of the server could not be stopped: {names}")


def _need_kind(home: Path, former: ServerConfig | None, names: Sequence[str]) -> None:
    """Hold a start against what a home folder was before: a server open to agencies stays one, under its names."""
    if former is not None and former.agencies and not names:
        raise ServerError(f"agencies come to the server of {home}: start it with its names, like make up NAME=...")
    if former is not None and names and not former.agencies:
        raise ServerError(f"{home} is the home of a server for this machine alone; take another: HUILIU_HOME=...")
    there = certificate_names(tls_folder(home))
    missing = set(names) - there if names and there else ()
    if missing:
        raise ServerError(
            f"{tls_folder(home)}: the certificate is not for {', '.join(sorted(missing))}; start with the names that "
            "it has, or remove that folder and hand the new authority.pem to every agency"
        )


def _need_free(address: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ServerError(
                f"port {port} of {address} cannot be used ({error.strerror}); "
                "stop what listens there, or choose another: make up PORT=8090"
            ) from error


def _database_port(former: ServerConfig | None) -> int:
    """Return the port that the database had the last time, if it is still free; else another."""
    if former is not None:
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ADDRESS, former.database_port))
            return former.database_port
    return free_port()


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let one start or stop at a time have its way with a home folder."""
    folder = server_folder(home)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise not_writable(folder, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ServerError(f"another start or stop of the server in {home} is under way; wait for it") from error
    else:
        yield
    finally:
        os.close(handle)
