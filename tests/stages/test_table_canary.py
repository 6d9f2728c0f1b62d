"""No identifier survives anonymize: real-looking ids planted in every text column are in no file that it leaves."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pyarrow.parquet as pq
import pytest

from fl_tasks.contracts.data import quarantine_path, raw_path, rejected_path
from fl_tasks.contracts.errors import InputError
from fl_tasks.data import identifiers
from fl_tasks.data.tables.table import read_reasons, read_table
from fl_tasks.stages.tables import ingest
from tests.data.identifier_fakes import Fakes
from tests.stages.table_stages import (
    HEADER,
    agreed,  # noqa: F401 - a fixture
    deliver,
    folder_of,
    make_home,
    people,
    run_all,
    spec_of,
)

pytestmark = pytest.mark.usefixtures("agreed")
TEXTS = tuple(column for column in HEADER if column != "day")
BYTES = "the bytes of a file"
FAKES = Fakes(77)
PLANTED = {column: (FAKES.resident_id(), FAKES.mobile(), FAKES.plate(), FAKES.credit_code()) for column in TEXTS}


def full_width(text):
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


def planted_rows():
    """Rows in each of which one column holds an identifier: alone, amid other text, in full-width signs."""
    rows = people(400)
    place = 0
    for column, found in PLANTED.items():
        for text in (*found, f"see {found[0]} or {found[1]}", full_width(found[0])):
            rows[place][column] = text
            place += 1
    return rows


def texts_of(folder):
    """Every text in what a run left, unpacked: cells of parquet files, names of columns, arrays, everything else."""
    for path in folder.rglob("*"):
        if not path.is_file() or path in {raw_path(folder), rejected_path(folder)}:
            continue
        yield BYTES, path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            for name in table.column_names:
                yield f"{path.name}: {name}", "\n".join([name, *map(str, table.column(name).to_pylist())])
        elif path.suffix == ".npy":
            yield path.name, "\n".join(map(repr, np.load(path).ravel()[:100_000].tolist()))
        else:
            yield path.name, path.read_text()


def test_planted_identifiers_are_in_no_file_after_anonymize(tmp_path):
    rows = planted_rows()
    home = make_home(tmp_path, rows)
    results = run_all(home)
    folder = folder_of(home)
    needles = {text for found in PLANTED.values() for text in found}
    needles |= {row[column] for row in rows for column in ("身份证", "phone")}
    needles |= {full_width(text) for text in needles}
    needles |= {row["姓名"] for row in rows if row["姓名"].startswith("李") and len(row["姓名"]) > 3}
    assert len(needles) > 1000
    found = [
        (where, needle)
        for where, text in texts_of(folder)
        for needle in needles
        if needle in unicodedata.normalize("NFC", text)
    ]
    assert not found
    for where, text in texts_of(folder):
        if where == BYTES:  # among compressed ones a number's form is chance
            continue
        held = [entry.kind for entry in identifiers.held(text.split("\n")) if entry.cells and entry.kind != "e_mail"]
        assert not held, f"{where}: {held}"
    told = json.dumps([result.model_dump(mode="json") for result in results])
    assert not any(needle in told for needle in needles)


def test_a_quarantine_keeps_what_stood_around_an_identifier(tmp_path):
    home = make_home(tmp_path, planted_rows())
    run_all(home)
    quarantine = read_table(quarantine_path(folder_of(home)))
    masked = [text for text in quarantine.columns["work"] if text.startswith("see [")]
    assert len(masked) == 1
    assert " or [" in masked[0]
    assert len(read_reasons(quarantine_path(folder_of(home)))) == len(quarantine)


def test_an_identifier_in_the_column_of_days_is_in_no_message(tmp_path):
    rows = people(50)
    rows[3]["day"] = PLANTED["work"][0]
    home = make_home(tmp_path)
    deliver(home, rows)
    with pytest.raises(InputError, match=r"people\.csv: line 5: column 'day'") as caught:
        ingest.run(spec_of(home, "ingest"))
    assert PLANTED["work"][0] not in str(caught.value)
