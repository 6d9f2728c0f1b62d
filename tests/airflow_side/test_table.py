"""The table in the terminal: own units, every baseline, no line too long, nothing left unsaid."""

from __future__ import annotations

import pytest
from fl_airflow.embedded.table import WIDTH, summary

from fl_tasks.contracts.report import AgencyPrivacy, GateReport
from tests.report.reports import classes, failed, whole


def test_what_a_release_reached_is_said_in_rows():
    report = whole()
    reached = AgencyPrivacy(identifiers={"person": "drop"}, k=5, l=2, t=0.41, suppressed=7)
    lines = summary(report.model_copy(update={"privacy": {"tyrol": reached}})).splitlines()
    assert "privacy:  tyrol: person drop, k = 5, l = 2, t = 0.41, 7 rows suppressed" in lines


def test_each_horizon_has_a_row_an_agency_in_its_unit_and_the_overall():
    lines = summary(whole()).splitlines()
    assert lines[0].split() == ["1h", "RMSE", "MAE"]
    assert lines[1].split() == ["federated", "local", "persist.", "champion"] * 2
    assert lines[3].split() == [
        *("los_angeles", "mph", "4.389", "4.651", "6.615", "4.519"),
        *("3.072", "3.255", "4.631", "3.164"),
    ]
    assert lines[6].split()[:4] == ["overall", "scaled", "0.310", "0.330"]
    assert [line.split()[0] for line in lines if line.split()[1:] == ["RMSE", "MAE"]] == ["1h", "2h", "3h"]


def test_without_a_champion_there_is_no_column_for_one():
    lines = summary(whole(champion=False)).splitlines()
    assert lines[1].split() == ["federated", "local", "persist."] * 2
    assert len(lines[3].split()) == 2 + 6


def test_a_figure_that_is_missing_is_a_dash():
    report = whole()
    east = report.evaluation.agencies["los_angeles"].model_copy(update={"local_only": {}, "champion": {}})
    agencies = {**report.evaluation.agencies, "los_angeles": east}
    report = report.model_copy(update={"evaluation": report.evaluation.model_copy(update={"agencies": agencies})})
    assert summary(report).splitlines()[3].split()[2:6] == ["4.389", "-", "6.615", "-"]


def test_status_gate_who_was_left_out_and_what_was_noted_follow():
    lines = summary(whole()).splitlines()
    assert "status:   promoted" in lines
    gate = " ".join(" ".join(lines[lines.index("status:   promoted") + 1 :]).split())
    assert gate.startswith("gate: promoted against version 3: better than version 3 at 3 of 4 agencies, 3 needed")
    assert "better at california_pems, los_angeles, minneapolis_i94 cohort:" in gate
    assert "cohort:   california_pems, los_angeles, minneapolis_i94, new_york; 10 rounds aggregated" in lines
    assert any(line.startswith("left out: xi_an: standardize: data_rejected") for line in lines)
    assert any(line.startswith("warning:  california_pems: recency/") for line in lines)
    assert "note:     california_pems: replayed by 329 weeks" in lines
    assert "privacy:  california_pems: last_plate hash, 9,120 cells suppressed" in lines


def test_a_held_run_says_where_it_is_worse_and_a_backfill_that_it_is_one():
    gate = GateReport(decision="held", reason="worse", reference="version 2", worse=("new_york",), backfill=True)
    lines = summary(whole().model_copy(update={"status": "held", "reason": "worse", "gate": gate})).splitlines()
    assert "status:   held: worse" in lines
    text = " ".join(" ".join(lines).split())
    assert "better at no agency; worse by more than the tolerance at new_york; a backfill cohort:" in text
    assert text.count("worse by") == 1
    assert "gate: held against version 2; better at" in text


def test_classes_show_what_fits_and_a_dash_where_an_agency_has_no_figure():
    lines = summary(classes(champion=False)).splitlines()
    assert lines[0].split() == ["poor_at_risk", "AUC", "Brier", "gap"]
    assert lines[1].split() == ["federated", "local", "majority"] * 3
    assert lines[2].split() == ["anatolia", "share", "-", "-", "-", "0.060", "0.090", "0.150", "-", "-", "-"]
    assert lines[3].split()[2:] == ["0.760", "0.700", "0.580", "0.070", "0.100", "0.160", "0.080", "0.095", "0.125"]
    with_champion = summary(classes()).splitlines()
    assert with_champion[0].split() == ["poor_at_risk", "AUC", "Brier"]
    assert with_champion[1].split() == ["federated", "local", "majority", "champion"] * 2
    assert max(map(len, lines + with_champion)) <= WIDTH


def test_a_failed_run_has_no_table_but_its_reasons():
    assert summary(failed()).splitlines() == [
        "status:   failed: 1 agencies passed their data checks, 3 are needed",
        "cohort:   none; 0 rounds aggregated",
        "left out: los_angeles: ingest: input_error: incoming: line 3: column 's2': not a number",
    ]


@pytest.mark.parametrize("champion", [True, False])
def test_no_line_is_longer_than_a_terminal(champion):
    names = {f"the_office_of_roads_and_bridges_of_prefecture_{i:02d}": "passengers/30min" for i in range(50)}
    report = whole(names, champion=champion)
    report = report.model_copy(
        update={
            "reason": "word " * 80,
            "excluded": {"xi_an": "x" * 300},
            "privacy": {"xi_an": AgencyPrivacy(identifiers=dict.fromkeys((f"column_{i}" for i in range(40)), "hash"))},
        }
    )
    lines = summary(report).splitlines()
    assert max(map(len, lines)) <= WIDTH == 120
    assert len({len(line) for line in lines[2:53]}) == 1


def test_no_control_sequence_of_another_party_reaches_the_terminal():
    text = summary(failed().model_copy(update={"excluded": {"xi_an": "a\x1b[2Jb\rc"}}))
    assert "\x1b" not in text
    assert "\r" not in text
    assert "left out: xi_an: a [2Jb c" in text
