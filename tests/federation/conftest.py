from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.canary import plant_row, secrets_of_the_run
from tests.federation.officer import Officer
from tests.federation.packets import packets_of
from tests.federation.site import Site, not_possible
from tests.officer.desk_site import pysyft_python


@dataclass(frozen=True)
class Watched:
    """A retraining that was looked at.

    Attributes:
        id: Airflow's id of it.
        secrets: Agency -> file below its home -> a secret that lived for moments only.
        packets: Agency -> (protocol, address, port) of everything that it sent to.
        asked: State of each task while the third agency's officer was waited for.
        shown: What the officer was shown.
    """

    id: str
    secrets: dict[str, dict[str, bytes]]
    packets: dict[str, set[tuple[str, str, int]]]
    asked: dict[str, str | None]
    shown: str


@pytest.fixture(scope="package")
def site(request):
    """One federation for all tests of this folder: it takes a minute to start.

    Where agencies are taken away, each step that waits for one in vain costs the time after which it is absent. Where
    none is, a slow machine gets all the time that it needs.
    """
    reason = not_possible()
    if reason is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="huiliu-hosts-") as name:
        root = Path(name)
        root.chmod(0o755)
        takes_away = any("test_faults" in str(item.path) for item in request.session.items)
        found = Site(root, absent_seconds=40 if takes_away else 180)
        plant_row(found.hosts[0].home.root)
        try:
            found.start()
            yield found
        finally:
            found.stop()
            assert not found.processes()


@pytest.fixture(scope="package")
def officer(site) -> Officer:
    """From here on the third agency's data are opened under its officer's approval alone."""
    pysyft_python()
    return Officer(site, site.hosts[2])


@pytest.fixture(scope="package")
def watched(site, officer):
    """A whole retraining over the three agencies, which was green, and what was seen of it while it went on."""
    with ExitStack() as stack:
        secrets = [stack.enter_context(secrets_of_the_run(host.home.root)) for host in site.hosts]
        packets = {host.name: stack.enter_context(packets_of(site, host)) for host in site.hosts}
        id_ = site.begin()
        asked = officer.asked(id_)
        shown = officer.shown(id_)
        officer.approve(id_, shown)
        site.finish(id_)
    return Watched(id_, dict(zip(site.layout.file.agencies, secrets, strict=True)), packets, asked, shown)


@pytest.fixture(scope="package")
def run(watched) -> str:
    """The id of that retraining."""
    return watched.id
