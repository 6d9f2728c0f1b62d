"""The real federated server for tests: uvicorn with TLS in a process of its own, and agencies that it admits."""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from fl_airflow.server.postgres import free_port

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.contracts.connection import connection_path, exchange_key_path
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import Card, Roster
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.admitted import admit
from fl_tasks.exchange.http import HttpExchange
from fl_tasks.stages.context import approved_roster_path

SCENARIO = "traffic"
RUN = Space("runs", f"{SCENARIO}__manual__2012-04-01T00:00:00+00:00")
AGENCIES = ("east", "north", "west")


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Agency:
    """An agency's keys, and its view of the exchange."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = Ed25519PrivateKey.generate()
        self.airflow_key = Ed25519PrivateKey.generate()
        self._protocol = _public(Ed25519PrivateKey.generate())

    @property
    def card(self) -> Card:
        return Card(
            name=self.name,
            protocol_key=self._protocol,
            airflow_key=_public(self.airflow_key),
            exchange_key=_public(self.key),
        )

    def exchange(self, server: FederatedServer, space: Space = RUN) -> HttpExchange:
        return HttpExchange(server.url, server.ca, self.name, self.key, space)


class FederatedServer:
    """One server: start, kill, stop. Its home folder is the coordinator's."""

    def __init__(self, folder: Path, home: Path | None = None) -> None:
        self.home = Home(home or folder / "home")
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.ca, self._certificate, self._key = make_certificates(folder)
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self) -> FederatedServer:
        words = (str(self.home.root), str(self.port), str(self._certificate), str(self._key))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.exchange.federated_server", *words],
                cwd=Path(__file__).parents[2],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        end = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.1)
        return self

    def kill(self) -> None:
        """End it as a crash does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=20)

    def found(self, agencies: tuple[Agency, ...], scenario: str = SCENARIO) -> None:
        """Admit agencies, and let the coordinator approve a roster of all of them."""
        for agency in agencies:
            admit(self.home, agency.card, expires=None, now=now())
        roster = Roster(
            scenario=scenario,
            version=1,
            members=tuple(agency.card for agency in agencies),
            coordinator_key=_public(Ed25519PrivateKey.generate()),
            secagg=SecAggConfig(mode="active", n_c=1, t=3, clip=1.5, n_ref=100, w_max=4.0, max_loss=10.0),
            r_max=3,
        )
        path = approved_roster_path(self.home.coordinator, scenario)
        write_atomic(path, roster.model_dump_json(by_alias=True).encode())

    def connect(self, folder: Path, key: Ed25519PrivateKey) -> None:
        """Let an agency's folder use this server."""
        write_atomic(exchange_key_path(folder), key.private_bytes_raw())
        write_atomic(connection_path(folder), f"exchange: {self.url}\nca_file: {self.ca}\n".encode())

    def _answers(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            httpx.get(f"{self.url}/federation/v1/server", verify=context, trust_env=False).raise_for_status()
        except httpx.TransportError:
            return False
        return True

    def pss(self) -> int:
        """The server's proportional share of memory, bytes."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def make_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Make a CA, and a certificate of localhost that it signed; return CA, certificate and key as PEM files."""
    start, end = now() - dt.timedelta(hours=1), now() + dt.timedelta(days=1)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    base = x509.CertificateBuilder().not_valid_before(start).not_valid_after(end)
    ca = (
        base.subject_name(ca_name)
        .issuer_name(ca_name)
        .public_key(ca_key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        base.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
        .issuer_name(ca_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    folder.mkdir(parents=True, exist_ok=True)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for path, data in zip(files, (ca.public_bytes(pem), certificate.public_bytes(pem), private), strict=True):
        path.write_bytes(data)
    return files


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _serve(home: Path, port: int, certificate: str, key: str) -> None:
    """Serve the app as Airflow does: mounted below its prefix, behind middlewares like Airflow's, lifespan included."""
    import uvicorn
    from fastapi import FastAPI
    from fl_airflow.federated.app import PREFIX, create_app
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.gzip import GZipMiddleware

    async def pass_on(request, call_next):
        return await call_next(request)

    mounted = create_app(Home(home))
    root = FastAPI(lifespan=lambda _: mounted.router.lifespan_context(mounted))
    root.mount(PREFIX, mounted)
    root.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    root.add_middleware(GZipMiddleware, minimum_size=1024)
    os.umask(0o077)
    uvicorn.run(
        root,
        host="127.0.0.1",
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,  # a client that keeps its connection would hold it up
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("certificate")
    parser.add_argument("key")
    options = parser.parse_args()
    _serve(options.home, options.port, options.certificate, options.key)
