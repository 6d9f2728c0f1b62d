"""Whom a host sends packets to, read off its only link with a packet socket."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fl_airflow.hosts.layout import AgencyHost

    from tests.federation.site import Site

Target = tuple[str, str, int]
_ALL, _OUTGOING = 0x0003, 4  # ETH_P_ALL, PACKET_OUTGOING of linux/if_ether.h and linux/if_packet.h
_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806
_PROTOCOLS = {6: "tcp", 17: "udp"}


@contextmanager
def packets_of(site: Site, host: AgencyHost) -> Iterator[set[Target]]:
    """Collect (protocol, address, port) of all packets that leave a host while the block runs."""
    process = subprocess.Popen(
        ["nsenter", f"--target={site.pid(f'{host.name}.worker')}", "--net", "--", sys.executable, "-P", __file__],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: set[Target] = set()
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    try:
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
        found.update(tuple(target) for target in json.loads(said))


def _target(frame: bytes) -> Target | None:
    (kind,) = struct.unpack("!H", frame[12:14])
    packet = frame[14:]
    if kind == _ARP:
        return None  # who has the gateway's address: on the link only
    if kind == _IPV6:
        # Without an address of its own a link only looks for routers and neighbours.
        return None if packet[6] == 58 or packet[6] == 0 else ("ipv6", packet[24:40].hex(), 0)
    if kind != _IPV4:
        return (f"ethertype {kind:#x}", "", 0)
    header = (packet[0] & 0x0F) * 4
    address = socket.inet_ntoa(packet[16:20])
    protocol = _PROTOCOLS.get(packet[9], f"ip {packet[9]}")
    port = struct.unpack("!H", packet[header + 2 : header + 4])[0] if packet[9] in _PROTOCOLS else 0
    return protocol, address, port


def _main() -> None:
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    link.bind(("eth0", 0))
    over = []
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))
    link.settimeout(0.2)
    found: set[Target] = set()
    print("listening", flush=True)
    while not over:
        try:
            frame, address = link.recvfrom(65536)
        except (TimeoutError, InterruptedError):
            continue
        if address[2] == _OUTGOING and (target := _target(frame)) is not None:
            found.add(target)
    print(json.dumps(sorted(found)), flush=True)


if __name__ == "__main__":
    _main()
