"""What attacks share: one change at a time, the check's refusal, and the way back."""

from __future__ import annotations

import os
from contextlib import contextmanager

import pytest

from fl_tasks.approvals import errors
from fl_tasks.secagg.agency import Party
from fl_tasks.secagg.journal import open_journal
from fl_tasks.secagg.member import Member
from fl_tasks.secagg.session import Setting
from fl_tasks.secagg.vault import Vault
from fl_tasks.stages.context import interval_text, journal_paths, load_key, load_roster, protocol_key_path
from tests.approvals.site import AGENCY, INTERVALS, MARCH
from tests.stages.federation_run import SCENARIO


def refused(site, error, run_id=MARCH, **how):
    """Hold that the check refuses with this very error, for good; gives what it says."""
    with pytest.raises(errors.ApprovalRefused) as caught:
        site.check(run_id, **how)
    assert (type(caught.value), caught.value.retryable) == (error, False), caught.value
    return str(caught.value)


@contextmanager
def changed(path, change):
    """Change a file's bytes inside the block, and put them back afterwards; None takes the file away."""
    data = path.read_bytes()
    new = change(data)
    path.unlink()
    if new is not None:
        path.write_bytes(new)
    yield
    path.write_bytes(data)


def flipped(data):
    """One bit of the middle byte is another one."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def open_session(site, run_id, not_after):
    """Open a session of secure aggregation at the agency, as its stage keys does."""
    roster = load_roster(site.home.agency(AGENCY), SCENARIO)
    setting = Setting(roster, os.urandom(16))
    path, head = journal_paths(site.home.agency(AGENCY), SCENARIO)
    key = load_key(protocol_key_path(site.home.agency(AGENCY)))
    with open_journal(path, head) as journal:
        vault = Vault(path.parent / setting.session.hex())
        Member(Party(setting, 0, key), journal, vault, interval_text(INTERVALS[run_id])).begin(run_id, not_after)
