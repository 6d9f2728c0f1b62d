from __future__ import annotations

import pytest

from tests.approvals.site import AGENCY, APRIL, JUNE, MARCH, MAY, Site


@pytest.fixture(scope="session")
def planned_once(tmp_path_factory) -> Site:
    """The coordinator has planned four months, and the agency has received them."""
    site = Site(tmp_path_factory.mktemp("planned"))
    site.found()
    for run_id in (MARCH, APRIL, MAY, JUNE):
        site.stage("plan", run_id)
        site.stage("receive", run_id, AGENCY)
    return site


@pytest.fixture(scope="session")
def handed_in_once(planned_once, tmp_path_factory) -> Site:
    """Each plan is a job in PySyft: March is approved there, April and May automatically, June waits."""
    site = planned_once.copy(tmp_path_factory.mktemp("handed-in"))
    site.pysyft(
        *(site.hand_in(run_id) for run_id in (MARCH, APRIL, MAY, JUNE)),
        ("approve", MARCH, "manual"),
        *(("approve", run_id, "auto") for run_id in (APRIL, MAY)),
    )
    return site


@pytest.fixture
def planned(planned_once, tmp_path) -> Site:
    return planned_once.copy(tmp_path)


@pytest.fixture
def site(handed_in_once, tmp_path) -> Site:
    return handed_in_once.copy(tmp_path)
