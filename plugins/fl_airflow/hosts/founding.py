"""Make the folders of a federation on one machine: DAG files, data, certificates, the server's configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from fl_airflow.federation import hand_out_data
from fl_airflow.hosts.enrolment import hand_authority
from fl_airflow.hosts.layout import API_PORT, AgencyHost, FederationFile, Layout, layout_path, read_layout
from fl_airflow.installation import DAGS_FOLDER, FEDERATION, REPOSITORY
from fl_airflow.server.certificates import make_certificates
from fl_airflow.server.config import ServerConfig, configure, tls_folder
from fl_airflow.server.errors import ServerError
from fl_airflow.server.postgres import ADDRESS
from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home

_FIRST_UID = 64000
_DATABASE_PORT = 5432  # nobody else is in the coordinator's network namespace
_NETWORKS = range(201, 221)


def found(root: Path, scenario: str, agencies: int, data: Path | None, absent_seconds: int) -> Layout:
    """Make a federation of the repository's agencies, or return the one that is there.

    Args:
        root: Its folder.
        scenario: What it trains.
        agencies: How many of the scenario's agencies take part, the first by name.
        data: Folder of the real data set; None for generated data.
        absent_seconds: After which a task that no agency's worker fetches has failed.

    Raises:
        ServerError: If another federation is there, or there are fewer agencies.
        ConfigError: If there is no such scenario.
        InputError: If a file of the real data set is missing or malformed.
    """
    known = load_federation(FEDERATION)
    if scenario not in known.scenarios:
        raise ConfigError(f"scenario {scenario!r} is not there; needed is one of {', '.join(sorted(known.scenarios))}")
    names = tuple(sorted(agency.agency for agency in known.members(scenario)))
    if not 3 <= agencies <= len(names):
        raise ServerError(f"{scenario} has {len(names)} agencies; from 3 to all of them can take part, not {agencies}")
    if layout_path(root).exists():
        layout = read_layout(root)
        if (layout.file.scenario, layout.file.agencies) != (scenario, names[:agencies]):
            raise ServerError(
                f"{root} holds a federation of {layout.file.scenario} with {len(layout.file.agencies)} agencies; "
                "start it with the same words, or set HUILIU_HOSTS to another folder"
            )
        return layout
    file = FederationFile(
        schema=1,
        scenario=scenario,
        agencies=names[:agencies],
        first_uid=_FIRST_UID,
        network=free_network(),
        absent_seconds=absent_seconds,
    )
    return make(root, file, DAGS_FOLDER, lambda home: hand_out_data(scenario, home, data))


def make(root: Path, file: FederationFile, dags: Path, hand_out: Callable[[Path], None]) -> Layout:
    """Make a federation's folders, give the agencies their data, and configure the server.

    Args:
        root: The federation's folder, which is not there or empty.
        file: Who takes part in what.
        dags: DAG folder to copy from, with the federation folder in it.
        hand_out: Writes the agencies' data into their folders below a home folder.
    """
    layout = Layout(root, file)
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    copy_dags(dags, layout.dags, file)
    for host in layout.hosts:
        _make_folders(host)
        copy_dags(dags, host.dags, file)
    with tempfile.TemporaryDirectory(dir=root) as name:
        hand_out(Path(name))
        for host in layout.hosts:
            host.home.agency(host.name).parent.mkdir(exist_ok=True, mode=0o700)
            shutil.move(Home(Path(name)).agency(host.name), host.home.agency(host.name))
            _give(host.home.root, host.daemon_uid)
    configure_server(layout)
    layout.write()
    return layout


def configure_server(layout: Layout) -> ServerConfig:
    """Write the server's configuration, secrets and certificates, all of them the coordinator's user's."""
    config = ServerConfig(
        schema=1,
        host=layout.address,
        port=API_PORT,
        url=layout.url,
        public_url=layout.url,
        database_host=ADDRESS,
        database_port=_DATABASE_PORT,
        dags_folder=str(layout.dags),
        tls=True,
        agencies=True,
        absent_seconds=layout.file.absent_seconds,
        rest_seconds=layout.rest_seconds,
    )
    layout.home.mkdir(mode=0o700, exist_ok=True)
    configure(layout.home, config)
    make_certificates(tls_folder(layout.home), (layout.address,))
    _give(layout.home, layout.uid)
    hand_authority(layout)
    return config


def refresh_dags(layout: Layout) -> None:
    """Bring every party's copy of the DAG files, not of the YAMLs, to the checkout's; agencies approve it anew."""
    for dags in (layout.dags, *(host.dags for host in layout.hosts)):
        for path in dags.glob("*.py"):
            shutil.copy(DAGS_FOLDER / path.name, path)


def copy_dags(source: Path, target: Path, file: FederationFile) -> None:
    """Copy the DAG files, and of the federation folder what belongs to one scenario and its agencies."""
    target.mkdir(parents=True)
    for path in source.glob("*.py"):
        shutil.copy(path, target)
    federation, folder = source / "federation", target / "federation"
    for kind, names in (("scenarios", (file.scenario,)), ("agencies", file.agencies)):
        (folder / kind).mkdir(parents=True)
        for name in names:
            shutil.copy(federation / kind / f"{name}.yaml", folder / kind)
    hierarchies = federation / "hierarchies" / file.scenario
    if hierarchies.is_dir():
        shutil.copytree(hierarchies, folder / "hierarchies" / file.scenario)


def _make_folders(host: AgencyHost) -> None:
    folders = (host.home.root, host.socket_folder, host.worker)
    script = str(REPOSITORY / "scripts" / "agency-folders.sh")
    subprocess.run([script, *map(str, folders), str(host.daemon_uid), str(host.worker_uid)], check=True)
    (host.folder / "logs").mkdir(mode=0o700)


def _give(folder: Path, uid: int) -> None:
    for place, _, files in os.walk(folder):
        for path in (Path(place), *(Path(place) / name for name in files)):
            os.chown(path, uid, uid, follow_symlinks=False)


def free_network() -> int:
    """Return the number of a network that no federation of this machine uses."""
    for number in _NETWORKS:
        if not Path(f"/sys/class/net/huiliu{number}").exists():
            return number
    raise ServerError("all networks from 10.201.0.0 to 10.220.255.255 are used by other federations of this machine")
