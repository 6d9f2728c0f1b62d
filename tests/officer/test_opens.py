"""What an officer does by the commands is what the agency's daemon takes for an approval, and nothing else is."""

from __future__ import annotations

import datetime as dt

import pytest

from fl_tasks.agency.officer import coordinator_keys, pin_officer
from fl_tasks.approvals import errors
from fl_tasks.officer.decide import Lasting, approve, reject, revoke
from fl_tasks.officer.desk import card_file, init_officer, open_desk
from fl_tasks.officer.receive import receive
from tests.approvals.site import AGENCY, APRIL, MARCH, MAY, NOW, Site
from tests.officer.desk_site import own_client, pysyft_python

DAY = dt.timedelta(days=1)


@pytest.fixture
def agency(tmp_path) -> Site:
    """An agency with a roster, whose officer was pinned by the operator."""
    pysyft_python()
    site = Site(tmp_path)
    site.found()
    site.officer = tmp_path / "own"
    (key,) = coordinator_keys(site.home, AGENCY).values()
    init_officer(site.home, AGENCY, site.officer, key, trial=True)
    pin_officer(site.home, AGENCY, card_file(site.officer))
    return site


def arrive(site, run_id):
    site.stage("plan", run_id)
    site.stage("receive", run_id, AGENCY)


def test_the_officers_word_opens_and_closes_the_data_and_pysyfts_alone_opens_nothing(agency):
    desk = open_desk(agency.home, agency.officer)
    arrive(agency, MARCH)
    receive(desk, now=NOW, days=7)
    own_client(agency.officer, AGENCY, "approve", MARCH)
    with pytest.raises(errors.NotApproved):
        agency.check(MARCH)
    made = approve(desk, MARCH, agency.plan(MARCH).sha256, now=NOW, days=7, lasting=Lasting(NOW + 40 * DAY, 2))
    assert agency.check(MARCH) == made

    arrive(agency, APRIL)
    receive(desk, now=NOW, days=7)
    assert agency.check(APRIL).standing == made.standing

    revoke(desk, made.standing, "no more", now=NOW)
    with pytest.raises(errors.StandingRevoked):
        agency.check(APRIL)
    revoke(desk, made.id, "not this one either", now=NOW)
    with pytest.raises(errors.ApprovalRevoked):
        agency.check(MARCH)

    arrive(agency, MAY)
    receive(desk, now=NOW, days=7)
    reject(desk, MAY, "no", now=NOW)
    with pytest.raises(errors.Rejected):
        agency.check(MAY)
