from __future__ import annotations

import pytest

from fl_tasks.officer.desk import init_officer
from fl_tasks.officer.receive import receive
from tests.officer.desk_site import AGENCY, NOW, REPOSITORY, DeskSite, pysyft_python
from tests.saying import Said, say


@pytest.fixture
def call(capsys, monkeypatch):
    def call(site: DeskSite, words: tuple[str, ...]) -> Said:
        env = {"HUILIU_HOME": site.home.root, "HUILIU_OFFICER": site.folder}
        return say(words, {**env, "HUILIU_FEDERATION": REPOSITORY / "dags" / "federation"}, capsys, monkeypatch)

    return call


@pytest.fixture
def bare(tmp_path, call) -> DeskSite:
    """An agency whose officer has no key yet."""
    return DeskSite(tmp_path, call)


@pytest.fixture
def site(bare) -> DeskSite:
    """An agency with an officer, and PySyft."""
    pysyft_python()
    bare.init()
    return bare


@pytest.fixture(scope="session")
def received_once(tmp_path_factory) -> DeskSite:
    """March's plan was taken over and waits."""
    pysyft_python()
    site = DeskSite(tmp_path_factory.mktemp("received"), None)
    init_officer(site.home, AGENCY, site.folder, site.coordinator_key, trial=True)
    site.deliver()
    receive(site.desk, now=NOW, days=7)
    return site


@pytest.fixture
def received(received_once, tmp_path, call) -> DeskSite:
    return received_once.copy(tmp_path, call)
