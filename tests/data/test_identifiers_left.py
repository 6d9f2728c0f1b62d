"""After anonymize no identifier is left, or the agency is left out: the reason names column and kind, never a value."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from itertools import chain

import numpy as np
import pytest

from expectations.traffic_districts.suite import suites
from fl_tasks.contracts.config import load_source
from fl_tasks.contracts.data import deidentified_path, raw_path
from fl_tasks.contracts.errors import ConfigError, DataRejected, FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.data.quality import columns, judge, require, told
from fl_tasks.data.series import Series, read_series, write_series
from fl_tasks.scenarios import traffic_districts as traffic
from fl_tasks.scenarios.hand_out import hand_out
from tests.data.examples import config, source
from tests.data.identifier_fakes import Fakes
from tests.data.test_quality import INTERVAL
from tests.stages.data_stages import AGENCY, FEDERATION, SCENARIO, STAGES, deliver, quality_of, run_all, spec_of

KINDS = ("resident_id", "mobile", "plate", "credit_code")
DRAW = Fakes(21)
CANARIES = {kind: [DRAW.of(kind) for _ in range(200)] for kind in KINDS}


def left(rows, **texts):
    times = np.datetime64("2012-03-01T00:00", "us") + np.arange(rows) * np.timedelta64(5, "m")
    return Series(times, ("s0",), np.full((rows, 1), 60.0), texts)


def judged(series):
    frame = columns(series)
    report = judge({"columns": frame}, suites(source(), config(), INTERVAL))
    return {check.name.partition("/")[0]: check.passed for check in report.checks}, report, told(frame)


@pytest.mark.parametrize("kind", KINDS)
def test_one_identifier_in_one_cell_is_enough_and_its_count_is_not_told(kind):
    canary = CANARIES[kind][0]
    passed, report, words = judged(left(100, note=["", f"见 {canary}。", *["-"] * 98]))
    assert not passed["no_identifier_left"]
    assert passed["suspicious_text"]
    with pytest.raises(
        DataRejected, match=r"no_identifier_left/\w+ needs no identifier .*: column 'note' holds "
    ) as caught:
        require(report, words)
    assert canary not in str(caught.value)
    assert "cells" not in str(caught.value)


def test_a_count_that_is_no_small_cell_is_told_with_column_and_kind():
    texts = [f"{plate} {mobile}" for plate, mobile in zip(CANARIES["plate"][:4], CANARIES["mobile"][:4], strict=True)]
    _, report, words = judged(left(10, note=[*texts, CANARIES["mobile"][5], *[""] * 5], place=[""] * 10))
    assert words == {"no_identifier_left": "column 'note' holds plates, mobile numbers in 5 cells"}
    with pytest.raises(DataRejected) as caught:
        require(report, words)
    assert not any(canary in str(caught.value) for kind in KINDS for canary in CANARIES[kind])


def test_what_only_looks_like_an_identifier_is_noted_until_a_tenth_of_the_cells_does():
    mistyped = [
        "110105194912310021",
        "110105194912310048",
        "110105194912310064",
        "110105194912310080",
        "110105194912310101",
    ]
    passed, _, words = judged(left(51, note=[*mistyped, *["-"] * 46]))
    assert (passed["no_identifier_left"], passed["suspicious_text"]) == (True, False)
    assert words == {"no_identifier_left": ""}
    passed, _, words = judged(left(50, note=[*mistyped, *["-"] * 45]))
    assert (passed["no_identifier_left"], passed["suspicious_text"]) == (False, True)
    assert words == {"no_identifier_left": "column 'note' holds resident ids in 5 cells"}
    passed, _, _ = judged(left(4, note=mistyped[:4]))  # of so few, chance may be all
    assert (passed["no_identifier_left"], passed["suspicious_text"]) == (True, False)


def test_keyed_hashes_and_plain_series_pass_even_where_digits_look_like_an_id():
    hidden = [f"{'ab' * (10 + n % 3)}11010519491231002{'c' * 64}"[:64] for n in range(30)]
    passed, report, words = judged(left(30, last_plate=hidden))
    assert all(passed.values())
    require(report, words)


def test_a_column_of_numbers_that_are_ids_or_mobiles_is_one_too_and_a_single_large_number_is_none():
    mobiles = np.array([[float(text)] for text in CANARIES["mobile"][:50]])
    series = left(50)
    _, _, words = judged(Series(series.times, ("phone",), mobiles))
    assert words == {"no_identifier_left": "column 'phone' holds mobile numbers in 50 cells"}
    ids = [float(text) for text in CANARIES["resident_id"] if text.isdigit()][:50]
    _, _, words = judged(Series(series.times, ("person",), np.array(ids)[:, None]))
    assert words == {"no_identifier_left": "column 'person' holds resident ids in 50 cells"}
    amounts = np.full((50, 1), 60.0)
    amounts[7] = 13812345678.0
    passed, _, _ = judged(Series(series.times, ("amount",), amounts))
    assert passed["no_identifier_left"]


@pytest.fixture(scope="module")
def delivered():
    """A generated source with four more columns, each cell of which holds an identifier."""
    text = gzip.decompress(traffic.generate(7)[AGENCY]["incoming/speed_5min.csv.gz"]).decode()
    header, *rows = csv.reader(io.StringIO(text))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*header, *KINDS])
    for place, row in enumerate(rows):
        cells = {kind: CANARIES[kind][place % 200] for kind in KINDS}
        cells["mobile"] = ("", "+86 ", "0086-")[place % 3] + cells["mobile"]
        writer.writerow([*row, *cells.values()])
    return out.getvalue()


def federation_with(folder, declared):
    shutil.copytree(FEDERATION, folder)
    path = folder / "agencies" / f"{AGENCY}.yaml"
    path.write_text(path.read_text().replace("    source_unit: mph", f"{declared}    source_unit: mph"))
    return folder


def test_no_identifier_of_any_text_column_survives(tmp_path, delivered, caplog):
    caplog.set_level("DEBUG", logger="fl_tasks")
    federation = federation_with(
        tmp_path / "federation",
        "    identifiers: {resident_id: hash, mobile: hash, plate: hash, credit_code: drop}\n"
        "    identifier_kinds: {resident_id: resident_id, mobile: mobile, plate: plate}\n",
    )
    home = tmp_path / "home"
    deliver(home, delivered)
    results = run_all(home, federation=federation)
    folder = spec_of(home, "ingest").folder
    kept = read_series(deidentified_path(folder))
    assert set(kept.identifiers) == {"resident_id", "mobile", "plate"}
    for kind in kept.identifiers:  # 200 numbers, each written in several ways
        assert len(set(kept.identifiers[kind])) == 200
    canaries = [canary.encode() for kind in KINDS for canary in CANARIES[kind]]
    text = "".join(result.model_dump_json() for result in results) + caplog.text
    assert not any(canary in text.encode() for canary in canaries)
    for path in folder.rglob("*"):
        if path.is_file() and path != raw_path(folder):
            whole = path.read_bytes()
            if path.suffix == ".parquet":  # compression tears texts apart
                whole += "\n".join(chain.from_iterable(read_series(path).identifiers.values())).encode()
            assert not any(canary in whole for canary in canaries), path.name
    assert quality_of(folder).failed("critical") == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_column_that_nobody_declared_leaves_the_agency_out(tmp_path, delivered, kind):
    others = ", ".join(f"{other}: drop" for other in KINDS if other != kind)
    federation = federation_with(tmp_path / "federation", f"    identifiers: {{{others}}}\n")
    home = tmp_path / "home"
    deliver(home, delivered)
    with pytest.raises(FLError) as caught:
        run_all(home, federation=federation)
    assert not any(canary in str(caught.value) for canary in CANARIES[kind])


def test_what_anonymize_missed_is_found_by_validate(tmp_path, caplog):
    home = tmp_path / "home"
    hand_out(SCENARIO, {AGENCY: traffic.generate(7)[AGENCY]}, Home(home), FEDERATION)
    for stage, run in STAGES[:3]:
        run(spec_of(home, stage))
    spec = spec_of(home, "validate")
    kept = read_series(deidentified_path(spec.folder))
    notes = ["" for _ in kept.times]
    notes[3:9] = [f"车主 {mobile}" for mobile in CANARIES["mobile"][:6]]
    write_series(deidentified_path(spec.folder), Series(kept.times, kept.names, kept.values, {"note": notes}))
    with pytest.raises(DataRejected, match="column 'note' holds mobile numbers in 6 cells") as caught:
        STAGES[3][1](spec)
    assert {check.name.partition("/")[0] for check in quality_of(spec.folder).failed("critical")} == {
        "leakage",
        "no_identifier_left",
    }
    told_of = str(caught.value) + caplog.text + quality_of(spec.folder).model_dump_json()
    told_of += "".join(page.read_text() for page in (spec.folder / "data_docs").rglob("*.html"))
    assert not any(mobile in told_of for mobile in CANARIES["mobile"])


def test_a_kind_is_declared_for_a_hashed_column_only(tmp_path):
    for declared in (
        "    identifier_kinds: {plate: plate}\n",
        "    identifiers: {plate: drop}\n    identifier_kinds: {plate: plate}\n",
    ):
        folder = tmp_path / str(len(declared))
        with pytest.raises(ConfigError, match="a column that is not hashed"):
            load_source(federation_with(folder, declared), AGENCY, SCENARIO)
