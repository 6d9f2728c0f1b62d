"""Who is where in a federation on one machine: folders, operating-system users, network addresses.

```
<root>/federation.json           this layout
<root>/coordinator/              home of the coordinator's server (user: first_uid)
<root>/dags/                     DAG and federation folder, as every party has it
<root>/postgres/                 PostgreSQL's cluster (user: postgres)
<root>/agencies/<agency>/home/   data, keys, journal, policy (user: the agency's)
                         dags/   the agency's own copy of the DAG and federation folder
                         worker/ the edge worker's folder (user: the worker's)
                         run/    the daemon's socket
```

Users are numbers without a name in the system's files: nothing of the machine is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from fl_airflow.server.errors import ServerError
from fl_tasks.contracts.base import Contract, Name, describe, write_atomic
from fl_tasks.contracts.paths import Home

API_PORT = 8443

HOSTS = "HUILIU_HOSTS"
"""Environment variable with the federation's folder."""


class FederationFile(Contract):
    """What was chosen when the federation was made; the rest follows from it."""

    schema_: Literal[1] = Field(alias="schema", description="version of this format")
    scenario: Name
    agencies: tuple[Name, ...] = Field(min_length=3, max_length=200)
    first_uid: int = Field(ge=1000, le=2**31, description="the coordinator's user; the agencies' follow")
    network: int = Field(ge=1, le=254, description="second number of all addresses, 10.<network>.x.y")
    absent_seconds: int = Field(ge=5, description="after which a task that no worker fetches has failed")


@dataclass(frozen=True)
class AgencyHost:
    """One agency's host."""

    name: str
    number: int
    folder: Path
    first_uid: int
    network: int

    @property
    def home(self) -> Home:
        """The agency's installation; the daemon's alone."""
        return Home(self.folder / "home")

    @property
    def worker(self) -> Path:
        """The edge worker's folder."""
        return self.folder / "worker"

    @property
    def socket_folder(self) -> Path:
        """Where the daemon listens."""
        return self.folder / "run"

    @property
    def dags(self) -> Path:
        """The agency's own DAG files."""
        return self.folder / "dags"

    @property
    def daemon_uid(self) -> int:
        """User of the agency's daemon and of its commands."""
        return self.first_uid + 2 * self.number - 1

    @property
    def worker_uid(self) -> int:
        """User of the agency's edge worker."""
        return self.first_uid + 2 * self.number

    @property
    def namespace(self) -> str:
        """Name of its network namespace."""
        return f"agency{self.number}"

    @property
    def address(self) -> str:
        """Its only address."""
        return f"10.{self.network}.{self.number}.2"

    @property
    def gateway(self) -> str:
        """The coordinator's end of its only link."""
        return f"10.{self.network}.{self.number}.1"


@dataclass(frozen=True)
class Layout:
    """A federation below one folder."""

    root: Path
    file: FederationFile

    @property
    def home(self) -> Path:
        """The coordinator's home folder."""
        return self.root / "coordinator"

    @property
    def dags(self) -> Path:
        """The coordinator's DAG files."""
        return self.root / "dags"

    @property
    def uid(self) -> int:
        """User of the coordinator's server."""
        return self.file.first_uid

    @property
    def address(self) -> str:
        """The only address that agencies reach."""
        return f"10.{self.file.network}.0.1"

    @property
    def url(self) -> str:
        """Where the API, the UI and the federated server are."""
        return f"https://{self.address}:{API_PORT}"

    @property
    def outside(self) -> tuple[str, str]:
        """The two ends of the link between the machine itself and the coordinator: (machine's, coordinator's)."""
        return f"10.{self.file.network}.255.2", f"10.{self.file.network}.255.1"

    @property
    def link(self) -> str:
        """Name of the machine's end of that link."""
        return f"huiliu{self.file.network}"

    @property
    def rest_seconds(self) -> float:
        """How long the scheduler rests when nothing has come: a fifth of a second for each agency, 1 to 5.

        One of its decisions looks at every task that is left, and from each at all that come before and after it: its
        cost grows faster than the agencies. What comes while it rests is one decision.
        """
        return min(max(1.0, len(self.file.agencies) / 5), 5.0)

    @property
    def hosts(self) -> tuple[AgencyHost, ...]:
        """The agencies, in the order of their names."""
        return tuple(
            AgencyHost(name, number, self.root / "agencies" / name, self.file.first_uid, self.file.network)
            for number, name in enumerate(self.file.agencies, 1)
        )

    def host(self, agency: str) -> AgencyHost:
        """Return one agency's host; raises ServerError if there is none."""
        for host in self.hosts:
            if host.name == agency:
                return host
        raise ServerError(f"{agency!r} is no agency of this federation; there are {', '.join(self.file.agencies)}")

    def write(self) -> None:
        """Keep the layout in its folder."""
        write_atomic(layout_path(self.root), self.file.model_dump_json(by_alias=True, indent=2).encode())


def layout_path(root: Path) -> Path:
    """Return the file that keeps a layout."""
    return root / "federation.json"


def read_layout(root: Path) -> Layout:
    """Return the layout of a folder.

    Raises:
        ServerError: If there is none, or it is not valid.
    """
    path = layout_path(root)
    try:
        return Layout(root, FederationFile.model_validate_json(path.read_bytes()))
    except FileNotFoundError as error:
        raise ServerError(f"{path} is not there; `make federation` makes a federation") from error
    except ValidationError as error:
        raise ServerError(f"{path}: {describe(error)}; remove {root} and run `make federation`") from error
