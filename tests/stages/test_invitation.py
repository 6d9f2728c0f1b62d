"""Who is left out and why, in a result that has room for so much."""

from __future__ import annotations

import pytest

from fl_tasks.contracts.stage import StageResult
from fl_tasks.stages.invitation import reasons_text


@pytest.mark.parametrize("agencies", [0, 1, 2, 7, 20])
def test_a_long_reason_hides_no_other_agencys(agencies):
    excluded = {f"agency_{number}": f"validate: DataRejected: {'x' * 900}" for number in range(agencies)}
    text = reasons_text(excluded)
    StageResult(stage="cohort", status="done", reason=text)
    assert all(f"{agency}: " in text for agency in excluded)


def test_short_reasons_are_whole():
    assert reasons_text({"east": "absent", "west": "ingest: Rejected"}) == "east: absent; west: ingest: Rejected"
