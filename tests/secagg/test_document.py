"""docs/secure-aggregation.md says what the code does: its tables are read and held to the code."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.contracts import errors as contract_errors
from fl_tasks.secagg import errors, heads, messages, names
from fl_tasks.secagg.agency import HeldShares, RoundSecret, make_keys, mask_update
from fl_tasks.secagg.errors import ProtocolError
from fl_tasks.secagg.heads import Head
from fl_tasks.secagg.hybrid import HybridKeys, HybridReady, HybridShares
from fl_tasks.secagg.messages import (
    Ack,
    Burnt,
    Close,
    KeyList,
    Keys,
    Manifest,
    Ready,
    Reveal,
    RoundModel,
    Shares,
    Upload,
)
from fl_tasks.secagg.parameters import SLOTS
from fl_tasks.secagg.wire import Header, Message
from tests.secagg import independent
from tests.secagg.federation import Federation
from tests.secagg.flow import Flow

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "secure-aggregation.md").read_text(encoding="utf-8")
CODE = {
    path: path.read_text(encoding="utf-8")
    for room in ("secagg", "contracts", "stages")
    for path in sorted((ROOT / "fl_tasks" / room).glob("*.py"))
}
KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
HEADER = Header(b"s" * 16, 1, b"h" * 32, b"m" * 32)
HASH = b"h" * 32


def _table(*columns: str) -> list[dict[str, str]]:
    """The document's one table with these columns first."""
    lines = iter(TEXT.splitlines())
    for line in lines:
        cells = _cells(line)
        if cells[: len(columns)] == list(columns):
            next(lines)  # the rule below the heads
            rows = itertools.takewhile(lambda row: row.startswith("|"), lines)
            return [dict(zip(cells, _cells(row), strict=True)) for row in rows]
    raise AssertionError(f"there is no table {columns}")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


# ---- messages

TYPES: list[type[Message] | type[Upload]] = [
    Keys, KeyList, Shares, Ready, Close, RoundModel, Upload, Manifest, Burnt, Ack, Reveal, Head,
]  # fmt: skip


HYBRID: list[type[Message]] = [HybridKeys, HybridShares, HybridReady]


@pytest.mark.parametrize("row", _table("in place of", "type"), ids=lambda row: row["in place of"])
@pytest.mark.parametrize(("rounds", "opened", "smaller"), [(1, 2, 1), (50, 9, 0), (3, 199, 199)])
def test_every_message_of_a_hybrid_roster_has_the_size_of_its_table(row, rounds, opened, smaller):
    me = smaller
    entries = tuple((i, HASH) for i in range(opened + 1) if i != me)
    holder, a_round = (4, 66) if "smaller" in row["in place of"] else (6, 98)
    made: dict[str, Message] = {
        "hybrid-keys": HybridKeys(b"s" * 16, 1, HASH, HASH, (HASH,) * rounds, (HASH,) * rounds, bytes(1184)),
        "hybrid-shares": HybridShares(b"s" * 16, HASH, 5, holder, b"n" * 12, bytes(a_round * rounds + 16), bytes(1088)),
        "hybrid-ready": HybridReady(b"s" * 16, HASH, me, entries, rounds, HASH * rounds * smaller),
    }
    message = made[row["label"]]
    data = message.encode(KEY)
    parts = re.fullmatch(r"(\d+)(?: \+ (\d+) O)?(?: \+ (\d+) R( s)?)?", row["size in bytes"])
    assert parts is not None
    factor = rounds * (smaller if parts[4] else 1)
    assert len(data) == int(parts[1]) + opened * int(parts[2] or 0) + factor * int(parts[3])
    assert int(row["type"]) == message.TYPE
    most = 200 if row["label"] == "hybrid-ready" else rounds
    assert type(message).decode(data, lambda _: KEY.public_key().public_bytes_raw(), most) == message


def test_every_message_stands_in_the_table_with_its_type_and_label():
    rows = _table("step", "type", "label")
    assert {int(row["type"]): row["label"] for row in rows} == {kind.TYPE: kind.LABEL for kind in TYPES}
    known = {value for module in (messages, heads) for value in vars(module).values() if isinstance(value, type)}
    assert {kind for kind in known if hasattr(kind, "TYPE")} == set(TYPES)
    assert {kind.TYPE: kind.LABEL for kind in TYPES} == independent.LABELS


def _sample(label: str, count: int) -> bytes:
    """A message with lists of this length."""
    ids = range(count)
    made: dict[str, Message] = {
        "keys": Keys(b"s" * 16, 1, HASH, HASH, (HASH,) * count, (HASH,) * count),
        "list": KeyList(b"s" * 16, tuple((i, HASH) for i in ids)),
        "shares": Shares(b"s" * 16, HASH, 1, 2, b"n" * 12, bytes(66 * count + 16)),
        "ready": Ready(b"s" * 16, HASH, 1, tuple((i, HASH) for i in ids)),
        "close": Close(b"s" * 16, HASH, tuple((i, HASH, HASH) for i in ids)),
        "model": RoundModel(b"s" * 16, 1, HASH),
        "manifest": Manifest(HEADER, tuple((i, HASH, b"s" * 64) for i in ids)),
        "burnt": Burnt(HEADER),
        "ack": Ack(1, HASH),
        "reveal": Reveal(HEADER, 1, HASH, (b"x" * 33,) * count),
        "head": Head(b"s" * 16, 1, 5, HASH),
    }
    return Upload.make(KEY, HEADER, 1, bytes(4 * count)).encode() if label == "upload" else made[label].encode(KEY)


@pytest.mark.parametrize("row", _table("step", "type", "label"), ids=lambda row: row["label"])
def test_every_message_has_the_size_of_the_table(row):
    for count in (1, 2, 4, 50, 200):
        parts = re.fullmatch(r"(\d+)(?: \+ (\d+) [RLOAUW])?", row["size in bytes"])
        assert parts is not None
        size = int(parts[1]) + count * int(parts[2] or 0)
        assert len(_sample(row["label"], count)) == size


@pytest.mark.parametrize("row", _table("label", "fields, each with its bytes"), ids=lambda row: row["label"])
def test_the_fields_of_every_message_add_up_to_its_size(row):
    """Prefix 6 and signature 64, which only the upload lists itself; `N times:` and `each` repeat what follows."""
    for count in (1, 3):
        text = re.sub(r"`H\([^`]*`", "hash", row["fields, each with its bytes"])
        once, _, repeated = text.partition("times:")
        once = re.sub(r"\bthen [LOAU] $", "", once)
        total = 6 + (0 if row["label"] == "upload" else 64)
        total += sum(_bytes(field, count) for field in once.split(",") if field.strip())
        total += count * sum(_bytes(field, count) for field in repeated.split(",") if field.strip())
        assert total == len(_sample(row["label"], count))


def _bytes(field: str, count: int) -> int:
    each = re.search(r"^ ?R .* (\d+) each$", field)
    if each:
        return count * int(each[1])
    scaled = re.search(r" (\d+) [RW]$", field)
    if scaled:
        return count * int(scaled[1])
    return int(field.rsplit(maxsplit=1)[-1])


def test_every_name_in_the_exchange_is_that_of_the_code():
    made = {
        "keys": names.keys("AGENCY"),
        "list": names.LIST,
        "shares": names.shares("DEALER", "HOLDER"),
        "ready": names.ready("AGENCY"),
        "close": names.CLOSE,
        "model": names.model("ROUND"),
        "upload": names.upload("ROUND", "AGENCY"),
        "manifest": names.manifest("ROUND"),
        "burnt": names.burnt("ROUND"),
        "ack": names.ack("ROUND", "AGENCY"),
        "reveal": names.reveal("ROUND", "AGENCY"),
        "head": names.head("AGENCY", "NUMBER"),
    }
    assert {row["label"]: row["name in the exchange"] for row in _table("step", "type", "label")} == made


# ---- labels


def _labels(kind: str) -> set[str]:
    rows = [row for row in _table("label", "kind") if row["kind"] == kind]
    return {label.strip() for row in rows for label in row["label"].split(",")}


def test_every_label_in_the_code_stands_in_the_table():
    source = "\n".join(CODE.values())
    hashes = set(re.findall(r'\bdigest\(\s*"([\w-]+)"', source))
    hashes |= set(re.findall(r'sha256\(\s*b"flsa/1/([\w-]+)"', source))
    assert hashes == _labels("hash")
    keys = set(re.findall(r'\(\s*[^()]*(?:\(.*\))?[^()]*, b"flsa/1/([\w-]+)"', source))
    keys |= set(re.findall(r'training_seed\(\s*\w+,\s*"([\w-]+)"', source))
    assert keys == _labels("key")
    signatures = {kind.LABEL for kind in (*TYPES, *HYBRID)}
    signatures |= set(re.findall(r'sign_record\(.*, "([\w-]+)",', source))
    signatures |= set(re.findall(r'^LABEL = "([\w-]+)"', source, re.MULTILINE))
    assert signatures == _labels("signature")


@pytest.mark.parametrize("kind", ["hash", "key", "signature"])
def test_no_label_is_the_beginning_of_another_of_its_kind(kind):
    """Else the same bytes could be read under two labels."""
    labels = _labels(kind)
    assert not [(a, b) for a in labels for b in labels if a != b and b.startswith(a)]


# ---- states


def _journal_kinds() -> set[str]:
    found = re.findall(r'(?:\.append|_once)\(\s*"(\w+)", (?:self\._session|"")?', CODE[_path("secagg/member.py")])
    return {*found, *re.findall(r'journal\.append\("(\w+)"', CODE[_path("stages/enrol.py")])}


def _path(name: str) -> Path:
    return ROOT / "fl_tasks" / name


def test_every_deed_that_an_agency_journals_stands_in_its_states():
    rows = _table("state", "journaled")
    text = " ".join(row["journaled"] + " " + row["refused, with which error"] for row in rows)
    assert {"session", "sent", "manifest"} <= _journal_kinds()
    missing = {kind for kind in _journal_kinds() if not re.search(rf"\b{kind}\b", text)}
    assert not missing


def _errors(module) -> set[str]:
    return {name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, Exception)}


def test_every_refusal_has_its_place_in_the_document():
    """And every error that the document names exists."""
    named = set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+\b", TEXT))
    ours = _errors(errors) - {"ProtocolError", "FLError"}
    assert all(issubclass(vars(errors)[name], ProtocolError) for name in ours)
    assert ours <= named
    refused = [row["refused, with which error"] for row in _table("state", "journaled")]
    refused += [row["the step fails with"] for row in _table("state", "written once")]
    words = set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+\b", " ".join(refused)))
    assert words <= ours | _errors(contract_errors)


@pytest.mark.parametrize(("heading", "columns"), [("agency", "journaled"), ("coordinator", "written once")])
def test_diagram_and_table_have_the_same_states(heading, columns):
    section = TEXT.split(f"## The {heading}'s states")[1].split("\n## ")[0]
    diagram = section.split("```mermaid")[1].split("```")[0]
    drawn = {state for state in re.findall(r"[a-z]+(?= -->)|(?<=--> )[a-z]+", diagram) if state}
    told = {row["state"] for row in _table("state", columns)}
    # `any` is no state of its own; a round is the coordinator's coming back to where it waits.
    assert drawn - {"round"} == told - {"any"}


# ---- sizes that are promised


def _set_up_bytes(n: int) -> dict[str, int]:
    """What one agency sends, of real messages where they do not take long: S1 as made, S2 and S3 by their types."""
    flow = Flow.of(n, r_max=50)
    first, _, _ = make_keys(flow.party(0))
    pair = Shares(flow.session, HASH, 0, 1, b"n" * 12, bytes(50 * 66 + 16)).encode(KEY)
    ready = Ready(flow.session, HASH, 0, tuple((i, HASH) for i in range(1, n))).encode(KEY)
    head = Head(flow.session, 0, 1, HASH).encode(KEY)
    return {"S1": len(first), "S2": (n - 1) * len(pair), "S3": len(ready), "heads": 3 * len(head)}


@pytest.mark.parametrize("row", _table("N", "S1", "S2"), ids=lambda row: f"N={row['N']}")
def test_set_up_costs_an_agency_what_the_table_says(row):
    sizes = _set_up_bytes(int(row["N"]))
    assert {name: int(row[name]) for name in sizes} == sizes
    assert int(row["together"]) == sum(sizes.values()) < 700_000


def test_the_table_of_set_up_bytes_is_what_four_agencies_really_send(tmp_path):
    federation = Federation(tmp_path, 4, r_max=50)
    federation.set_up()
    own = [
        data
        for name, data in federation.store.items()
        if "agency_001" in name.split("/")[1:3] or name.split("/")[-1] == "agency_001"
    ]
    sent = [data for data in own if independent.parse(data, rounds=50).get("id", None) in (1, None)]
    sent = [d for d in sent if independent.parse(d, rounds=50).get("dealer", 1) == 1]
    [row] = [row for row in _table("N", "S1", "S2") if row["N"] == "4"]
    assert sum(map(len, sent)) == int(row["together"])


@pytest.mark.parametrize("d", [1, 7, 100_000])
def test_an_upload_is_four_bytes_a_parameter_and_slot_and_156_more(d):
    flow = Flow.of(3)
    closed = flow.set_up()
    update = np.zeros(d + len(SLOTS), dtype=np.uint32)
    data = mask_update(flow.party(0), closed, closed.header(1, HASH), update.copy(), flow.secrets[0][0], {})
    over = len(data) - 4 * (d + len(SLOTS))
    assert over == 156
    # The head of the journal that goes before it included: still below what was promised.
    with_head = over + len(Head(flow.session, 0, 1, HASH).encode(KEY))
    assert with_head == 280
    assert f"update costs {with_head} bytes" in TEXT


def test_secrets_do_not_show_in_a_representation():
    shown = repr([RoundSecret(b"k" * 32, b"b" * 32), HeldShares(b"b" * 33, b"k" * 33), Flow.of(3).party(0)])
    assert "kkk" not in shown
    assert "bbb" not in shown
    assert "Ed25519" not in shown
