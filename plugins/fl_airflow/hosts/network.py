"""Network namespaces for the parties: each agency has one link, to the coordinator, and one address to reach.

The supervisor is in a network namespace of its own, the coordinator's, and so is everything that it starts but for the
agencies. All of this is gone with the last of their processes.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from fl_airflow.hosts.layout import AgencyHost, Layout
from fl_airflow.server.errors import ServerError

_NAMED = Path("/run/netns")


def build_network(layout: Layout, machine: int) -> None:
    """Make the agencies' namespaces and all links; call it in the coordinator's namespaces (mount and network).

    Args:
        layout: The federation.
        machine: Process id of one in the machine's own network namespace.

    Raises:
        ServerError: If a command of iproute2 fails.
    """
    _NAMED.mkdir(parents=True, exist_ok=True)
    # Names of namespaces are mounts: here they are ours alone, and go with us.
    _call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(_NAMED))
    _call("ip", "link", "set", "lo", "up")
    _call("ip", "address", "add", f"{layout.address}/32", "dev", "lo")
    machines_end, own_end = layout.outside
    _call("ip", "link", "add", "outside", "type", "veth", "peer", "name", layout.link, "netns", str(machine))
    _call("ip", "address", "add", f"{own_end}/30", "dev", "outside")
    _call("ip", "link", "set", "outside", "up")
    _in_machine(machine, "ip", "address", "add", f"{machines_end}/30", "dev", layout.link)
    _in_machine(machine, "ip", "link", "set", layout.link, "up")
    _in_machine(machine, "ip", "route", "add", f"{layout.address}/32", "via", own_end)
    for host in layout.hosts:
        _build_host(layout, host)


def in_host(host: AgencyHost) -> list[str]:
    """Return the words that run a command on an agency's host."""
    return ["ip", "netns", "exec", host.namespace]


def as_user(uid: int, *groups: int) -> list[str]:
    """Return the words that run a command as one user, in no groups but its own and these, without a way to rights."""
    more = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", more, "--no-new-privs", "--"]


def link_of(host: AgencyHost) -> str:
    """Return the name of the coordinator's end of an agency's link."""
    return f"to{host.number}"


def _build_host(layout: Layout, host: AgencyHost) -> None:
    _call("ip", "netns", "add", host.namespace)
    _call("ip", "link", "add", link_of(host), "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
    _call("ip", "address", "add", f"{host.gateway}/30", "dev", link_of(host))
    _call("ip", "link", "set", link_of(host), "up")
    inside = ["ip", "-n", host.namespace]
    _call(*inside, "link", "set", "lo", "up")
    _call(*inside, "address", "add", f"{host.address}/30", "dev", "eth0")
    _call(*inside, "link", "set", "eth0", "up")
    _call(*inside, "route", "add", f"{layout.address}/32", "via", host.gateway)


def _in_machine(machine: int, *argv: str) -> None:
    _call("nsenter", f"--net=/proc/{machine}/ns/net", *argv)


def _call(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    if done.returncode != 0:
        raise ServerError(f"{' '.join(argv)} ended with exit code {done.returncode}: {done.stderr.strip()}")
