"""Rows, keys, seeds and unmasked deltas are nowhere outside the agency: the search finds them inside it."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults import canary
from tests.stages.federation_run import AGENCIES

pytestmark = pytest.mark.timeout(2400)


def database_url(home):
    return (home / "server" / "secrets" / "database_url").read_text().replace("+psycopg2", "")


@pytest.fixture(scope="module")
def deltas(federation, undisturbed, tmp_path_factory):
    _, home = federation
    return canary.deltas_again(home, undisturbed[0].run_id, tmp_path_factory.mktemp("again"))


@pytest.fixture(scope="module")
def needles(federation, undisturbed, deltas):
    """What must stay at home of the undisturbed run, in all its forms."""
    _, home = federation
    run, passing = undisturbed
    found = canary.row_needles(home, run.run_id) | canary.key_needles(home)
    for name, secret in {**passing, **deltas}.items():
        found |= canary.forms(name, secret)
    return found


def test_nothing_of_an_agency_is_found_outside_its_folder(federation, needles):
    _, home = federation
    assert canary.search(canary.outside(home, database_url(home)), needles) == {}


def test_what_is_searched_holds_all_that_a_run_leaves_outside(federation, undisturbed):
    _, home = federation
    run, _ = undisturbed
    found = canary.search(canary.outside(home, database_url(home)), {"run": run.run_id.split("__", 1)[1].encode()})
    names = found["run"]
    assert {"metadata database", "lineage/openlineage.jsonl", f"runs/{run.run_id}/report.json"} <= names
    assert any(name.startswith("coordinator/mlflow/") for name in names)
    assert any(name.startswith(f"coordinator/runs/{run.run_id}/") for name in names)
    searched = {name for name, _ in canary.outside(home, database_url(home))}
    assert any(name.startswith("airflow/logs/") for name in searched)
    assert any(name.startswith(f"exchange/{run.run_id}/r/1/up/") for name in searched)
    assert any(name.startswith("server/logs/") for name in searched)


def test_the_search_finds_the_row_and_the_keys_inside(federation, undisturbed, needles):
    _, home = federation
    run, _ = undisturbed
    inside = canary.search(canary.inside(home), needles)
    folder = f"{canary.AGENCY}/runs/{run.run_id}"
    assert f"agencies/{canary.AGENCY}/incoming/speed_5min.csv.gz" in inside["row as text"]
    assert {f"agencies/{folder}/{name}.parquet" for name in ("raw", "standardized")} <= inside["row as double"]
    assert f"agencies/{folder}/examples/fit/x.npy" in inside["row in the network's input"]
    keys = [name for name in canary.key_needles(home) if "," not in name]
    assert len([name for name in keys if name.split("/")[0] in AGENCIES]) == 4 * len(AGENCIES)
    assert all(f"agencies/{name.replace('/', '/keys/')}" in inside[name] for name in keys)


def test_the_deltas_and_round_secrets_of_the_run_were_seen_and_are_gone(federation, undisturbed, deltas, needles):
    _, home = federation
    run, passing = undisturbed
    assert set(deltas) == {
        f"{agency}/runs/{run.run_id}/jobs/train-{r}/delta.npz" for agency in AGENCIES for r in (1, 2)
    }
    seen = {name: secret for name, secret in passing.items() if name.endswith("delta.npz")}
    assert seen
    assert seen == {name: deltas[name] for name in seen}
    assert len([name for name in passing if name.endswith(".secret")]) == 3 * len(AGENCIES)
    assert len([name for name in passing if name.endswith("encryption.key")]) == len(AGENCIES)
    # They have served, and even the agency does not have them any more.
    inside = canary.search(canary.inside(home), needles)
    assert not [name for name in deltas if name in inside]


@pytest.mark.parametrize("kind", ["log", "gzip", "npz", "parquet", "sqlite"])
def test_a_needle_planted_in_a_file_outside_is_found(tmp_path, kind):
    value = float(canary.ROW_VALUE)
    needles = {
        "row as text": canary.ROW_VALUE[:8].encode(),
        **canary.forms("row as double", np.float64(value).tobytes()),
    }
    (tmp_path / "agencies").mkdir()
    (tmp_path / "exchange").mkdir()
    path = tmp_path / "exchange" / "planted"
    if kind == "log":
        path.write_text(f"INFO the observed value was {value}\n")
    elif kind == "gzip":
        path.write_bytes(gzip.compress(f"1,2,{value}".encode()))
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez_compressed(file, x=np.array([1.0, value]))
    elif kind == "parquet":
        pq.write_table(pa.table({"x": [1.0, value]}), path, compression="zstd")
    else:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("create table params (value real)")
            database.execute("insert into params values (?)", (value,))
    found = canary.search(canary.files(tmp_path, [tmp_path / "exchange"]), needles)
    assert set().union(*found.values()) == {"exchange/planted"}


def test_a_needle_planted_in_the_metadata_database_is_found(federation, needles):
    server, home = federation
    secret = needles[f"{canary.AGENCY}/training.secret, hexadecimal"].decode()
    server.api.call("POST", "/pools", {"name": "planted", "slots": 1, "description": secret})
    try:
        found = canary.search(canary.outside(home, database_url(home)), needles)
    finally:
        server.api.call("DELETE", "/pools/planted")
    assert found[f"{canary.AGENCY}/training.secret, hexadecimal"] == {"metadata database"}
