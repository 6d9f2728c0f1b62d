"""The frozen vectors: the code gives them back from their inputs, and a second implementation agrees."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.secagg.errors import InconsistentShares
from fl_tasks.secagg.shamir import combine, lagrange_weights
from tests.secagg import independent, make_vectors
from tests.secagg.flow import Flow

FILES = sorted(make_vectors.VALUES)
SESSIONS = ["session-3", "session-4"]


def _frozen(name: str) -> dict:
    return json.loads((make_vectors.FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _hex(value: str) -> bytes:
    return bytes.fromhex(value)


@pytest.mark.parametrize("name", FILES)
def test_the_code_gives_every_frozen_value_from_the_frozen_inputs(name):
    frozen = _frozen(name)
    assert make_vectors.VALUES[name](frozen["inputs"]) == frozen["values"]


@pytest.mark.parametrize("name", FILES)
def test_regeneration_gives_the_frozen_file(name):
    assert make_vectors.rendered(name) == (make_vectors.FOLDER / f"{name}.json").read_text(encoding="utf-8")


def test_every_vector_file_is_known_and_described():
    files = {path.stem for path in make_vectors.FOLDER.glob("*.json")}
    assert files == set(FILES)
    readme = (make_vectors.FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"{name}.json" in readme for name in files)


def test_shares_that_give_no_secret_are_refused():
    for case in _frozen("shamir")["inputs"]["refused"]:
        shares = {int(point): _hex(share) for point, share in case["shares"].items()}
        weights = dict(zip(shares, lagrange_weights(list(shares)), strict=True))
        with pytest.raises(InconsistentShares):
            combine(shares, weights)


# ---- the second implementation


def test_the_second_implementation_knows_nothing_of_the_first():
    tree = ast.parse(Path(independent.__file__).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    standard = {"__future__", "hashlib", "hmac", "json", "math", "struct", "dataclasses"}
    assert {name for name in imported if not name.startswith("cryptography.")} == standard


def test_it_gives_the_frozen_hashes():
    frozen = _frozen("hashes")
    assert independent.canonical(frozen["inputs"]["roster"]).decode() == frozen["values"]["roster_canonical"]
    assert independent.roster_hash(frozen["inputs"]["roster"]).hex() == frozen["values"]["roster_sha256"]
    models = [independent.model_hash(model).hex() for model in frozen["inputs"]["models"]]
    assert models == frozen["values"]["models_sha256"]


def test_it_gives_the_frozen_shares_and_secrets():
    frozen = _frozen("shamir")
    for case, values in zip(frozen["inputs"]["cases"], frozen["values"]["cases"], strict=True):
        powers = [int(case["secret"], 16), *(int(value, 16) for value in case["coefficients"])]
        for point, share in values["shares"].items():
            value = sum(a * int(point) ** power for power, a in enumerate(powers)) % independent.FIELD
            assert f"{value:066x}" == share
        chosen = {point: _hex(values["shares"][str(point)]) for point in case["reveal"]}
        assert independent.interpolate(chosen).hex() == case["secret"]


def test_it_gives_the_frozen_updates_and_means():
    frozen = _frozen("encoding")
    for case, values in zip(frozen["inputs"]["sums"], frozen["values"]["sums"], strict=True):
        config = case["secagg"]
        for update, words in zip(case["updates"], values["updates"], strict=True):
            key = _hex(update["rounding_key"])
            assert words == independent.encode(
                update["delta"], update["examples"], update["losses"], case["n"], config, key
            )
        columns = zip(*(values["updates"][i] for i in case["survivors"]), strict=True)
        total = [sum(column) % 2**32 for column in columns]
        assert total == values["sum"]
        opened = independent.decode(total, case["n"], config)
        for name, value in opened.items():
            assert values[name] == pytest.approx(value, rel=1e-15, abs=0)


def _reading(name: str) -> tuple[independent.Reading, dict, dict]:
    frozen = _frozen(name)
    inputs, values = frozen["inputs"], frozen["values"]
    messages = {name: _hex(data) for name, data in values["messages"].items()}
    return independent.Reading(inputs["roster"], _hex(inputs["session"]), messages), inputs, values


@pytest.mark.parametrize("name", SESSIONS)
def test_it_reads_and_verifies_every_message_and_opens_the_sum(name):
    reading, inputs, values = _reading(name)
    kinds = {message["kind"] for message in reading.parsed.values()}
    assert kinds >= set(independent.LABELS.values()) - {"burnt", "head"}  # heads are of a journal, not of a session
    assert (reading.h1.hex(), reading.h2.hex()) == (values["h1"], values["h2"])
    assert reading.members == values["closed_set"]
    for case, round_ in zip(inputs["rounds"], values["rounds"], strict=True):
        assert independent.model_hash(case["model"]).hex() == round_["model_sha256"]
        assert reading.parsed[f"r/{case['round']}/model"]["model"].hex() == round_["model_sha256"]
        if round_["burnt"]:
            assert reading.parsed[f"r/{case['round']}/burnt"]["header"].hex() == round_["header"]
            continue
        assert reading.parsed[f"r/{case['round']}/manifest"]["header"].hex() == round_["header"]
        plain = [sum(column) % 2**32 for column in zip(*case["updates"].values(), strict=True)]
        assert reading.sum_of(case["round"]) == plain == round_["sum"]


@pytest.mark.parametrize("name", SESSIONS)
def test_it_derives_every_key_and_stream_from_the_private_inputs(name):
    reading, inputs, values = _reading(name)
    agencies = inputs["agencies"]
    for i, agency in enumerate(agencies):
        for j, peer in enumerate(agencies):
            if i != j:
                opened = reading.open_share_file(i, j, _hex(peer["encryption_key"]))
                assert opened == [_shares_at(secret, j + 1) for secret in agency["rounds"]]
    for round_ in values["rounds"]:
        number, header = round_["round"], _hex(round_["header"])
        for pair, expected in round_["pair_keys"].items():
            low, high = (int(part) for part in pair.split("-"))
            for owner, peer in ((low, high), (high, low)):
                private = _hex(agencies[owner]["rounds"][number - 1]["k"])
                assert reading.pair_key(private, peer, owner, header, number).hex() == expected["key"]
        for member, expected in round_["self_keys"].items():
            seed = _hex(agencies[int(member)]["rounds"][number - 1]["b"])
            key = independent.kdf(seed, "self", header + int(member).to_bytes(2, "big"))
            assert key.hex() == expected["key"]
        for expected in (*round_["pair_keys"].values(), *round_["self_keys"].values()):
            words = expected["first_words"]
            assert independent.stream(_hex(expected["key"]), len(words)) == words


def _shares_at(secret: dict, point: int) -> tuple[bytes, bytes]:
    shares = []
    for kind in ("b", "k"):
        powers = [int(secret[kind], 16), *(int(value, 16) for value in secret[f"{kind}_coefficients"])]
        value = sum(a * point**power for power, a in enumerate(powers)) % independent.FIELD
        shares.append(value.to_bytes(33, "big"))
    return shares[0], shares[1]


@pytest.mark.parametrize("name", SESSIONS)
def test_one_changed_bit_of_any_message_is_noticed(name):
    _, inputs, values = _reading(name)
    for changed in values["messages"]:
        messages = {name: _hex(data) for name, data in values["messages"].items()}
        data = bytearray(messages[changed])
        data[-1] ^= 1
        messages[changed] = bytes(data)
        with pytest.raises((InvalidSignature, AssertionError)):
            independent.Reading(inputs["roster"], _hex(inputs["session"]), messages)


@settings(max_examples=10, deadline=None)
@given(st.integers(3, 6), st.integers(1, 40), st.randoms(use_true_random=False))
def test_it_opens_any_session_of_the_first_to_the_plain_sum(n, length, random):
    flow = Flow.of(n, r_max=2)
    closed = flow.set_up()
    t = flow.roster.t
    here = sorted(random.sample(range(n), random.randint(t, n)))
    acking = tuple(sorted(random.sample(range(n), random.randint(t, n))))
    revealing = tuple(sorted(random.sample(acking, t)))
    updates = {i: np.array([random.getrandbits(32) for _ in range(length)], dtype=np.uint32) for i in here}
    flow.round(closed, 2, updates, model=b"m" * 32, acking=acking, revealing=revealing)
    reading = independent.Reading(flow.roster.model_dump(mode="json", by_alias=True), flow.session, flow.store)
    plain = [sum(int(word) for word in column) % 2**32 for column in zip(*updates.values(), strict=True)]
    assert reading.sum_of(2) == plain == flow.unmask(closed, 2, length).tolist()
