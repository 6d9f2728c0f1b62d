"""What an agency remembers of its last accepted run."""

from __future__ import annotations

import datetime as dt

import pytest

from fl_tasks.contracts.data import Accepted, Distribution, accepted_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.data.accepted import changed_months, load_accepted, save_accepted


def accepted(month, digit="1"):
    return Accepted(
        interval_end=dt.datetime(2018, month, 1, tzinfo=dt.UTC),
        months={"2018-04": digit * 64, "2018-05": "2" * 64},
        reference={"values": Distribution(edges=(0.0, 1.5), shares=(0.25, 0.5, 0.25))},
    )


def test_it_comes_back_as_it_was_saved_for_the_owner_alone(tmp_path):
    path = accepted_path(tmp_path, "traffic")
    assert path == tmp_path / "accepted" / "traffic.json"
    assert load_accepted(path) is None
    assert save_accepted(path, accepted(6))
    assert load_accepted(path) == accepted(6)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_backfill_does_not_replace_what_a_later_interval_left(tmp_path):
    path = accepted_path(tmp_path, "traffic")
    save_accepted(path, accepted(6))
    assert not save_accepted(path, accepted(5, "3"))
    assert load_accepted(path) == accepted(6)
    assert save_accepted(path, accepted(6, "3"))
    assert load_accepted(path) == accepted(6, "3")


def test_months_that_both_hold_are_compared():
    months = {"2018-04": "0" * 64, "2018-05": "2" * 64, "2018-06": "3" * 64}
    assert changed_months(months, accepted(6)) == ("2018-04",)
    assert changed_months(months, None) == ()


def test_a_damaged_record_is_named(tmp_path):
    path = accepted_path(tmp_path, "traffic")
    path.parent.mkdir()
    path.write_text('{"months": {}}')
    with pytest.raises(ConfigError, match=r"accepted/traffic\.json: field interval_end: .*remove the file"):
        load_accepted(path)
