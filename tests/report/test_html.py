"""report.html: whole and well-formed for any run, every text escaped, nothing fetched, nothing told by colour alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from fl_tasks.contracts.report import AgencyPrivacy, Report, RoundReport
from fl_tasks.report.html import render
from tests.report.reports import UNITS, failed, whole

VOID = {"meta"}


class Page(HTMLParser):
    """What a page holds: tags in order, text, and whether every element that opens is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def many() -> Report:
    return whole({f"prefecture_{i:02d}": "mph" for i in range(50)}, rounds=40, champion=False)


@pytest.mark.parametrize("report", [whole(), failed(), many()], ids=["whole", "failed", "many"])
def test_every_page_is_well_formed_and_needs_nothing_from_anywhere(report):
    text = render(report)
    page = Page(text)
    assert {"script", "link", "img", "iframe", "a", "object", "base"} & {name for name, _ in page.tags} == set()
    assert not re.search(r"https?:|//[a-z]|url\(|@import|src=|href=", text)
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert ("meta", {"charset": "utf-8"}) in page.tags
    assert text.encode("utf-8")[:1024].find(b'charset="utf-8"') > 0  # where browsers look for it


def test_a_whole_run_has_every_section():
    page = Page(render(whole()))
    for words in (
        "traffic: promoted",
        "Gate: promoted, compared with version 3: better than version 3 at 3 of 4 agencies, 3 needed",
        "Better at: california_pems, los_angeles, minneapolis_i94.",
        "Worse by more than the tolerance at: no agency.",
        "of 5 agencies, every sum that was opened is over at least 3, of which at least 2 are honest",
        "warning: recency/expect_column_max_to_be_between",
        "note: replayed by 329 weeks",
        "Horizon 1h",
        "Horizon 3h",
        "all agencies in standard deviations",
        "seasonal naive",
        "mean over all series of an agency",
        "Pictures of single series do not leave an agency",
        "validation loss",
        "1 file",
        "masked update",
        "Together 88 files, 2,506,240 bytes",
        "9,120",
        "last_plate hashed",
        "From the start to this report: 512.30 s.",
        "2.18 GiB",
        "version in the registry 4",
        "c" * 64,
        "d" * 64,
    ):
        assert words in page.text, words
    # three horizons, four profiles, the loss, the stages
    assert page.count("svg") == 3 + 4 + 1 + 1


def test_a_text_from_an_agency_stays_text_in_any_language():
    hostile = "<script>alert(1)</script> \"' & 西安市: 没有数据"
    report = whole()
    report = report.model_copy(
        update={
            "reason": hostile,
            "excluded": {"xi_an": hostile},
            "privacy": {"new_york": AgencyPrivacy(identifiers={hostile: "drop"})},
            "seconds": report.seconds.model_copy(update={"by_stage": {hostile: 1.0}}),
            "egress": {"new_york": (report.egress["new_york"][0].model_copy(update={"purpose": hostile}),)},
            "evaluation": report.evaluation.model_copy(update={"units": dict.fromkeys(UNITS, hostile)}),
        }
    )
    text = render(report)
    page = Page(text)
    assert "<script" not in text
    assert page.text.count(hostile) >= 8


def test_a_failed_run_says_what_was_not_reached():
    page = Page(render(failed()))
    for words in (
        "traffic: failed",
        "1 agencies passed their data checks, 3 are needed",
        "los_angeles left out ingest: input_error",
        "The model was not evaluated in this run.",
        "No round was run.",
        "Nothing left an agency in this run.",
        "Memory was not measured",
        "none, it was not promoted",
    ):
        assert words in page.text, words
    assert page.count("svg") == 0


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading."""
    table = text.split(f"{heading}</h", 1)[1].split("<table>", 1)[1].split("</table>", 1)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in rows]


def test_each_agency_is_in_its_own_unit_and_all_of_them_scaled():
    rows = rows_of(render(whole()), "Horizon 1h")
    assert rows[0] == ["", "RMSE", "MAE", ""]
    names = ["federated", "local-only", "persistence", "seasonal naive", "champion"]
    assert rows[1] == ["agency", "unit", *names, *names, "values"]
    assert [(row[0], row[1]) for row in rows[2:]] == [*sorted(UNITS.items()), ("all agencies", "scaled")]
    assert rows[3][2:7] == ["4.389", "4.651", "6.615", "7.533", "4.519"]
    assert rows[6][2:7] == ["0.3100", "0.3300", "0.4800", "0.5500", "0.3200"]


def test_one_unit_for_all_stands_beside_every_row():
    rows = rows_of(render(many()), "Horizon 1h")
    assert {row[1] for row in rows[2:]} == {"mph"}
    assert "champion" not in rows[1]


def test_the_smallest_error_of_a_row_is_bold():
    table = render(whole()).split("Horizon 1h", 1)[1].split("</table>", 1)[0]
    assert table.count('class="n best"') == 2 * 5  # RMSE and MAE, four agencies and all
    assert '<td class="n best">4.389</td><td class="n">4.651</td>' in table


def test_an_agency_without_an_evaluation_of_one_kind_gets_a_dash():
    report = whole()
    evaluation = report.evaluation.agencies["los_angeles"].model_copy(update={"champion": {}, "federated": {}})
    agencies = {**report.evaluation.agencies, "los_angeles": evaluation}
    report = report.model_copy(update={"evaluation": report.evaluation.model_copy(update={"agencies": agencies})})
    row = rows_of(render(report), "Horizon 1h")[3]
    assert (row[0], row[2], row[6]) == ("los_angeles", "-", "-")


def test_the_fate_of_each_agency_in_each_round_is_written_out():
    rows = rows_of(render(whole()), "Survivors and losses by round")
    assert rows[0] == ["agency", *(f"r{r}" for r in range(1, 13))]
    fate = {row[0]: row[1:] for row in rows[1:]}
    assert fate["california_pems"][:3] == ["✗ train", "✗ train", "✓"]
    assert fate["los_angeles"][:3] == ["✗ train", "✓", "◐ ack"]
    assert fate["minneapolis_i94"][:5] == ["▲ burnt", "✓", "✓", "✓", "◐ reveal"]
    assert {cells[-1] for cells in fate.values()} == {"- skipped"}
    legend = Page(render(whole())).text
    for word in ("✓ its update counts", "◐ stage", "✗ stage", "▲ burnt", "- skipped", "· not in"):
        assert word in legend


def test_an_agency_outside_the_rounds_session_is_not_called_lost():
    report = whole()
    rounds = (RoundReport(round=1, status="aggregated", survivors=("los_angeles",), loss=0.5),)
    rows = rows_of(render(report.model_copy(update={"rounds": rounds})), "Survivors and losses by round")
    assert {row[0]: row[1] for row in rows[1:]}["new_york"] == "·"


def test_many_rounds_and_agencies_are_cut_into_tables_that_fit():
    text = render(many())
    part = text.split("Survivors and losses by round</h", 1)[1].split("</section>", 1)[0]
    assert part.count("<table>") == 3  # 42 rounds
    assert max(row.count("<td") for row in re.findall(r"<tr>.*?</tr>", part)) == 17
    assert "scaled RMSE</th>" in text  # bars of 51 groups have no room for figures
    assert len(text) < 1_000_000


def test_burnt_rounds_are_marked_in_the_chart_of_losses():
    chart = render(whole()).split("Rounds</h2>", 1)[1].split("</svg>", 1)[0]
    assert re.findall(r"<text[^>]*>burnt</text>", chart) == re.findall(r"<text[^>]*>burnt</text>", chart)[:1] != []
    assert chart.count("<polyline") == 2
    assert chart.count("<circle") == 2 * 10


def test_columns_of_privacy_that_no_agency_has_are_left_out():
    rows = rows_of(render(whole()), "Privacy")
    assert rows[0] == ["agency", "identifiers", "suppressed rows or cells"]
    report = whole().model_copy(update={"privacy": {"a": AgencyPrivacy(k=5, l=2, t=0.4, epsilon=1.5, delta=1e-6)}})
    rows = rows_of(render(report), "Privacy")
    assert rows[0] == ["agency", "identifiers", "k", "l", "t", "epsilon", "delta"]
    assert rows[1][:6] == ["a", "none", "5", "2", "0.4000", "1.500"]
    assert float(rows[1][6]) == 1e-6


def test_the_gates_reason_is_said_once():
    report = whole()
    said = report.gate.reason
    assert Page(render(report)).text.count(said) == 1
    repeated = report.model_copy(update={"reason": said, "gate": report.gate.model_copy(update={"backfill": True})})
    text = Page(render(repeated)).text
    assert text.count(said) == 1
    assert "Gate: promoted, compared with version 3. This run is a backfill" in text
