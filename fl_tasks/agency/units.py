"""Files for systemd: an agency's daemon, its worker and what takes plans over for its officer, each as its own user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.errors import ConfigError

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
# What systemd takes letter by letter: no blanks, quotes, `$` or `%`.
_PATH = re.compile(r"/[A-Za-z0-9/._+@-]+")

# None may gain rights, write anywhere but in its own folders, or see other users' temporary files and devices.
_HARDENED = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
UMask=0077
"""
_CONNECTS = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n"
_CONNECTS_NOWHERE = "RestrictAddressFamilies=AF_UNIX\nPrivateNetwork=yes\n"
_PLANS_SECONDS = 60


@dataclass(frozen=True)
class OfficersSite:
    """Where the agency's data officer works.

    Attributes:
        folder: The officer's own folder, absolute.
        user: Name of the officer's user.
    """

    folder: Path
    user: str


@dataclass(frozen=True)
class Site:
    """Where what of an agency lies on its machine; all paths are absolute.

    Attributes:
        agency: Its id.
        repository: The checkout with its environments.
        home: The installation's folder, which is the daemon's user's; an officer may pass through it.
        federation: The agency's copy of the federation folder.
        socket_folder: Where the daemon listens.
        worker_folder: What `python -m fl_airflow.worker init` writes.
        user: Name of the daemon's user.
        worker_user: Name of the worker's user.
        officer: None where the policy alone decides.
    """

    agency: str
    repository: Path
    home: Path
    federation: Path
    socket_folder: Path
    worker_folder: Path
    user: str
    worker_user: str
    officer: OfficersSite | None = None

    def check(self) -> None:
        """Raise ConfigError if a name or path cannot stand in systemd's files, or the users are one."""
        users = {"--user": self.user, "--worker-user": self.worker_user}
        paths = [self.repository, self.home, self.federation, self.socket_folder, self.worker_folder]
        if self.officer is not None:
            users["--officer-user"] = self.officer.user
            paths.append(self.officer.folder)
        for option, user in users.items():
            if not _USER.fullmatch(user):
                raise ConfigError(f"{option} {user}: needed is a name of small letters, digits, - and _, at most 31")
        if self.user == self.worker_user:
            raise ConfigError(
                f"--worker-user {self.user}: is the daemon's user as well: the worker has to be another one, or it "
                "could read the agency's keys and data"
            )
        if self.officer is not None and self.officer.user in (self.user, self.worker_user):
            raise ConfigError(
                f"--officer-user {self.officer.user}: is the daemon's or the worker's user as well: the officer has "
                "to be another one, or they could sign for him"
            )
        for path in paths:
            if not _PATH.fullmatch(str(path)):
                raise ConfigError(f"{path}: systemd needs a path of letters, digits and / . _ + @ - alone; move it")


def write_units(site: Site, folder: Path) -> tuple[Path, ...]:
    """Write the units of daemon, worker and officer, and the file of their users; return where.

    Raises:
        ConfigError: As `Site.check`.
    """
    site.check()
    name = f"huiliu-{site.agency}"
    files = {
        f"{name}-daemon.service": _daemon(site),
        f"{name}-worker.service": _worker(site, f"{name}-daemon.service"),
    }
    if site.officer is not None:
        files[f"{name}-officer.service"] = _officer(site, site.officer)
    files[f"{name}.conf"] = _users(site)
    for file, text in files.items():
        write_atomic(folder / file, text.encode(), mode=0o644)
    return tuple(folder / file for file in files)


def _daemon(site: Site) -> str:
    start = f"{site.repository}/scripts/agency-daemon.sh {site.agency} {site.socket_folder} {site.worker_user}"
    own = f"Environment=HUILIU_HOME={site.home}\nEnvironment=HUILIU_FEDERATION={site.federation}\n"
    return _unit("daemon", site.agency, "", site.user, f"{site.home} {site.socket_folder}", start, own + _CONNECTS)


def _worker(site: Site, daemon: str) -> str:
    start = f"{site.repository}/scripts/agency-worker.sh {site.worker_folder}"
    # It has no business in the agency's folder, whatever that folder's mode is.
    own = f"InaccessiblePaths={site.home}\n" + _CONNECTS
    return _unit("edge worker", site.agency, f" {daemon}", site.worker_user, str(site.worker_folder), start, own)


def _officer(site: Site, officer: OfficersSite) -> str:
    start = f"{site.repository}/.venv/bin/fl officer receive --watch {_PLANS_SECONDS}"
    own = f"Environment=HUILIU_HOME={site.home}\nEnvironment=HUILIU_OFFICER={officer.folder}\n" + _CONNECTS_NOWHERE
    return _unit("plans for the data officer", site.agency, "", officer.user, str(officer.folder), start, own)


def _unit(what: str, agency: str, after: str, user: str, writes: str, start: str, own: str) -> str:
    return f"""\
# Written by `fl agency units`.
[Unit]
Description=Huiliu: {what} of {agency}
Wants=network-online.target{after}
After=network-online.target{after}

[Service]
User={user}
{own}ExecStart={start}
Restart=always
RestartSec=5
KillMode=mixed
ReadWritePaths={writes}
{_HARDENED}
[Install]
WantedBy=multi-user.target
"""


def _users(site: Site) -> str:
    return f"""\
# Written by `fl agency units`, for /etc/sysusers.d.
u {site.user} - "Huiliu daemon of {site.agency}" {site.home}
u {site.worker_user} - "Huiliu edge worker of {site.agency}" {site.worker_folder}
# The daemon gives its socket to the worker's group.
m {site.user} {site.worker_user}
""" + (
        ""
        if site.officer is None
        else f'u {site.officer.user} - "Huiliu data officer of {site.agency}" {site.officer.folder}\n'
    )
