"""The officer is another OS user than the agency's daemon, and pinned by the agency's operator."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from fl_tasks.approvals import errors
from fl_tasks.approvals.places import card_path, key_path
from tests.approvals.attack import changed, refused
from tests.approvals.site import AGENCY
from tests.stages.federation_run import AGENCIES


def test_an_agency_without_an_officer(site):
    site.decide()
    card = card_path(site.home.agency(AGENCY))
    with changed(card, lambda _: None):
        refused(site, errors.OfficerUnknown)
    with changed(card, lambda data: data[:-1]):
        refused(site, errors.OfficerUnknown)
    for wrong in ({"agency": AGENCIES[1]}, {"folder": str(site.root / "nowhere")}, {"folder": "officer"}):
        site.pin(**wrong)
        refused(site, errors.OfficerUnknown)
    site.pin()
    site.check()


def test_an_officer_who_is_not_another_user_than_the_daemon(site):
    site.decide()
    site.pin(trial=False)
    assert "a user of his own" in refused(site, errors.OfficerNotApart)
    site.pin(user=os.getuid() + 1)
    assert "belongs to OS user" in refused(site, errors.OfficerNotApart)
    site.pin()
    site.check()


@contextmanager
def daemon_apart(site):
    """The same site with an agency's daemon that is another OS user than the officer, as in earnest; gives its check.

    The check runs in a child process of that user.
    """
    user = 23456
    with tempfile.TemporaryDirectory(prefix="huiliu-apart-") as name:
        Path(name).chmod(0o755)
        apart = site.copy(Path(name) / "site")
        apart.root.chmod(0o755)
        apart.pin(trial=False)
        for path in (apart.home.root, *apart.home.root.rglob("*")):
            os.chown(path, user, user)

        def check():
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                said = "the child broke"
                try:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)
                    said = type(apart.check()).__name__
                except errors.ApprovalRefused as error:
                    said = type(error).__name__
                finally:
                    os.write(writing, said.encode())
                    os._exit(0)
            os.close(writing)
            os.waitpid(child, 0)
            with os.fdopen(reading) as file:
                return file.read()

        yield apart, check


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be two other OS users")
def test_officer_and_daemon_are_two_users(site):
    with daemon_apart(site) as (apart, check):
        assert check() == "NotApproved"
        decision = apart.decide()
        assert check() == "Decision"
        assert key_path(apart.officer).stat().st_mode & 0o077 == 0
        for path, error in (
            (apart.record(decision), "RecordAltered"),
            (apart.record(decision).parent, "RecordAltered"),
            (apart.state(), "StateUnreadable"),
            (apart.inbox() / "run.sh", "JobAltered"),
            (apart.inbox() / "code" / "fl_tasks", "JobAltered"),
            (apart.officer, "RecordAltered"),
        ):
            mode = path.stat().st_mode
            path.chmod(0)
            assert (path.name, check()) == (path.name, error)
            path.chmod(mode)
        assert check() == "Decision"
        # What the daemon's user could write itself opens nothing.
        os.chown(apart.state(), 23456, 23456)
        assert check() == "StateForged"
