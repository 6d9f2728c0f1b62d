"""Real stores for tests: a SeaweedFS with S3 behind TLS, and an OpenSSH server with SFTP, each in a folder."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from fl_airflow.server.postgres import free_port

from tests.exchange.federated_server import make_certificates

BUCKET = "huiliu"
_WEED = Path(__file__).parents[2] / ".venv" / "bin" / "weed"
_SSHD = Path("/usr/sbin/sshd")
_SFTP_SERVER = "internal-sftp"
_GRPC = 10_000  # SeaweedFS listens on each port and on this much above it


class _Process:
    """A server that is stopped by its process, with what it started."""

    def __init__(self, words: list[str], log: Path) -> None:
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                words, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def check(self) -> None:
        assert self._process.poll() is None, self._log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        os.killpg(self._process.pid, 15)
        try:
            self._process.wait(timeout=3)  # what it holds is in a temporary folder
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()


class SeaweedFS:
    """One S3 service with a bucket and an account."""

    def __init__(self, folder: Path) -> None:
        if not _WEED.exists():
            pytest.skip("not verified: needs SeaweedFS: make setup")
        self.ca, certificate, key = make_certificates(folder)
        ports = dict(zip(("master", "volume", "filer", "s3"), _low_ports(4), strict=True))
        self.endpoint = f"https://localhost:{ports['s3']}"
        self.credentials = folder / "credentials.json"
        account = {"access_key_id": "agency", "secret_access_key": "not-a-secret-of-anyone"}
        self.credentials.write_text(json.dumps(account))
        identities = folder / "identities.json"
        named = {"accessKey": account["access_key_id"], "secretKey": account["secret_access_key"]}
        identities.write_text(
            json.dumps({"identities": [{"name": "agency", "credentials": [named], "actions": ["Admin"]}]})
        )
        (folder / "data").mkdir()
        words = [str(_WEED), f"-logdir={folder}", "server", f"-dir={folder / 'data'}"]
        words += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        words += ["-master.volumeSizeLimitMB=256", "-volume.max=20", "-filer", "-s3", f"-s3.config={identities}"]
        words += [f"-{name}.port={port}" for name, port in ports.items()]
        self._ports = [*ports.values(), *(port + _GRPC for port in ports.values())]
        words += [f"-s3.cert.file={certificate}", f"-s3.key.file={key}", "-s3.port.iceberg=0"]
        self._process = _Process(words, folder / "weed.log")
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=account["access_key_id"],
            aws_secret_access_key=account["secret_access_key"],
            region_name="us-east-1",
            verify=str(self.ca),
            config=Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=10),
        )
        end = time.monotonic() + 120
        while True:
            self._process.check()
            try:
                client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="probe", Body=b"x")
                return
            except (BotoCoreError, ClientError):
                assert time.monotonic() < end
                time.sleep(0.5)

    def stop(self) -> None:
        self._process.stop()
        for port in self._ports:  # killed, it leaves its sockets
            for path in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
                path.unlink()


class SftpServer:
    """One OpenSSH server for the account that the tests run in."""

    def __init__(self, folder: Path) -> None:
        if not _SSHD.exists():
            pytest.skip("not verified: needs OpenSSH's server: Debian's openssh-server")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start as root without it
        folder.mkdir(parents=True, exist_ok=True)
        self.user, self.port = getpass.getuser(), free_port()
        self.root = folder / "exchange"
        self.root.mkdir()
        self.key, host_key = folder / "agency_key", folder / "host_key"
        for path in (self.key, host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        shutil.copy(f"{self.key}.pub", folder / "authorized_keys")
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {Path(f'{host_key}.pub').read_text()}")
        config = folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile {folder / 'sshd.pid'}\n"
            f"AuthorizedKeysFile {folder / 'authorized_keys'}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp {_SFTP_SERVER}\n"
            "MaxStartups 100\n"
        )
        self._process = _Process([str(_SSHD), "-D", "-e", "-f", str(config)], folder / "sshd.log")
        end = time.monotonic() + 20
        while True:
            self._process.check()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.1)

    @property
    def url(self) -> str:
        return f"sftp://{self.user}@127.0.0.1:{self.port}{self.root}"

    def stop(self) -> None:
        self._process.stop()


def _low_ports(count: int) -> list[int]:
    """Free ports whose partners above are free, too."""
    found: list[int] = []
    for port in range(20_000 + os.getpid() % 20_000, 50_000):
        try:
            for one in (port, port + _GRPC):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", one))
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")
