"""The protocol's own vectors: `python -m tests.secagg.make_vectors` writes vectors/*.json anew.

The files are frozen: a change of one value is a change of the protocol. Inputs are SHA-256 of names, so that anyone
can see that nothing was chosen; every other value comes from the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.contracts.roster import Roster
from fl_tasks.contracts.tensors import tensors_sha256
from fl_tasks.secagg import names
from fl_tasks.secagg.agency import public_key
from fl_tasks.secagg.masking import agree, derive, keystream, pair_key, self_key
from fl_tasks.secagg.messages import NONCE_BYTES
from fl_tasks.secagg.session import file_hash, list_hash, manifest_hash
from fl_tasks.secagg.wire import u16
from tests.secagg.flow import Drawn, Flow, roster_of
from tests.secagg.vector_parts import (
    Json,
    arrays,
    chosen,
    coefficient,
    encoding_inputs,
    encoding_values,
    hashes_inputs,
    hashes_values,
    plain_sum,
    shamir_inputs,
    shamir_values,
    tensor,
)

FOLDER = Path(__file__).parent / "vectors"
FIRST_WORDS = 8


# ---- session-3.json and session-4.json: every message and key of a whole session


def session_inputs(n: int) -> Json:
    """Three agencies, one round, nobody lost. Four agencies, two rounds: the first is burnt; in the second id 1 is away
    when updates are sent and back for acks and reveals, id 3 is gone after its update.
    """
    r_max = n - 2
    config = SecAggConfig(mode="active", n_c=0, t=3, clip=4.0, n_ref=128, w_max=4.0, max_loss=10.0)
    roster, signing, head = roster_of(n, r_max, config)
    encoded = encoding_values(encoding_inputs())["sums"][n - 3]["updates"]
    model = (
        [tensor("kernel", "<f4", (2, 2), 6), tensor("bias", "<f4", (2,), 7)]
        if n == 3
        else [tensor("w", "<f8", (3,), 8)]
    )
    everyone = list(range(n))
    last = {"round": r_max, "model": model, "updates": {str(i): encoded[i] for i in everyone}}
    if n == 3:
        rounds = [last | {"acking": everyone, "revealing": everyone}]
    else:
        del last["updates"]["1"]
        burnt = {"round": 1, "model": model, "updates": {"0": encoded[0]}, "acking": [], "revealing": []}
        rounds = [burnt, last | {"acking": [0, 1, 2], "revealing": [0, 1, 2]}]
    return {
        "roster": roster.model_dump(mode="json", by_alias=True),
        "session": chosen(f"{n}/session", 16).hex(),
        "coordinator_signing_key": head.private_bytes_raw().hex(),
        "agencies": [
            {
                "signing_key": signing[i].private_bytes_raw().hex(),
                "encryption_key": chosen(f"{n}/{i}/encryption").hex(),
                "rounds": [_round_secrets(f"{n}/{i}/{r}") for r in range(1, r_max + 1)],
                "nonces": {str(j): chosen(f"{n}/{i}/nonce/{j}", NONCE_BYTES).hex() for j in everyone if j != i},
            }
            for i in everyone
        ],
        "rounds": rounds,
    }


def _round_secrets(name: str) -> Json:
    """k, b and the polynomials above them, t = 3: coefficients of x and of x squared."""
    return {
        "k": chosen(f"{name}/k").hex(),
        "b": chosen(f"{name}/b").hex(),
        "k_coefficients": [coefficient(f"{name}/k/{power}") for power in (1, 2)],
        "b_coefficients": [coefficient(f"{name}/b/{power}") for power in (1, 2)],
    }


def flow_of(inputs: Json) -> Flow:
    """The session's parties as its inputs name them."""
    return Flow(
        Roster.model_validate_json(json.dumps(inputs["roster"])),
        [Ed25519PrivateKey.from_private_bytes(bytes.fromhex(a["signing_key"])) for a in inputs["agencies"]],
        Ed25519PrivateKey.from_private_bytes(bytes.fromhex(inputs["coordinator_signing_key"])),
        bytes.fromhex(inputs["session"]),
    )


def drawn_by(agency: Json) -> Iterator[tuple[str, Drawn]]:
    """What one agency draws in its steps `keys` and `shares`."""
    keys = Drawn()
    keys.x25519.append(bytes.fromhex(agency["encryption_key"]))
    shares = Drawn()
    for secret in agency["rounds"]:
        keys.x25519.append(bytes.fromhex(secret["k"]))
        keys.tokens.append(bytes.fromhex(secret["b"]))
        for kind in ("b", "k"):
            shares.coefficients.extend(int(value, 16) for value in reversed(secret[f"{kind}_coefficients"]))
    shares.tokens.extend(bytes.fromhex(nonce) for _, nonce in sorted(agency["nonces"].items()))
    yield "keys", keys
    yield "shares", shares


def session_values(inputs: Json) -> Json:
    flow = flow_of(inputs)
    draws = [dict(drawn_by(agency)) for agency in inputs["agencies"]]
    everyone = range(len(draws))
    for i in everyone:
        with draws[i]["keys"].instead_of_chance():
            flow.keys(i)
    flow.list_keys()
    for i in everyone:
        with draws[i]["shares"].instead_of_chance():
            flow.shares(i)
    for i in everyone:
        flow.ready(i)
    closed = flow.close()
    rounds = [_round_values(flow, closed, inputs, case) for case in inputs["rounds"]]
    h1 = list_hash(flow.store[names.LIST])
    return {
        "roster_sha256": flow.roster.sha256.hex(),
        "public_keys": [
            {
                "encryption": public_key(bytes.fromhex(agency["encryption_key"])).hex(),
                "rounds": [public_key(bytes.fromhex(secret["k"])).hex() for secret in agency["rounds"]],
            }
            for agency in inputs["agencies"]
        ],
        "file_hashes": {
            name: file_hash(data).hex() for name, data in sorted(flow.store.items()) if name.startswith("setup/")
        },
        "h1": h1.hex(),
        "share_keys": {f"{i}>{j}": _share_key(inputs, h1, i, j).hex() for i in everyone for j in everyone if i != j},
        "h2": closed.h2.hex(),
        "closed_set": list(closed.ids),
        "rounds": rounds,
        "messages": {name: data.hex() for name, data in sorted(flow.store.items())},
    }


def _share_key(inputs: Json, h1: bytes, dealer: int, holder: int) -> bytes:
    mine, theirs = (bytes.fromhex(inputs["agencies"][i]["encryption_key"]) for i in (dealer, holder))
    shared = agree(X25519PrivateKey.from_private_bytes(mine), public_key(theirs))
    return derive(shared, b"flsa/1/shares", bytes.fromhex(inputs["session"]), h1, u16(dealer), u16(holder))


def _round_values(flow: Flow, closed: Any, inputs: Json, case: Json) -> Json:
    number = case["round"]
    model = tensors_sha256(arrays(case["model"]))
    updates = {int(i): np.array(words, dtype=np.uint32) for i, words in case["updates"].items()}
    verdict = flow.round(
        closed, number, updates, model=model, acking=tuple(case["acking"]), revealing=tuple(case["revealing"])
    )
    header = closed.header(number, model)
    secrets = [agency["rounds"][number - 1] for agency in inputs["agencies"]]
    privates = [X25519PrivateKey.from_private_bytes(bytes.fromhex(secret["k"])) for secret in secrets]
    publics = [private.public_key().public_bytes_raw() for private in privates]
    pairs = {
        f"{i}-{j}": pair_key(privates[i], publics[j], header, i, j) for i in closed.ids for j in closed.ids if i < j
    }
    selves = {str(i): self_key(bytes.fromhex(secrets[i]["b"]), header, i) for i in closed.ids}
    values = {
        "round": number,
        "model_sha256": model.hex(),
        "header": header.encode().hex(),
        "pair_keys": {pair: _stream(key) for pair, key in pairs.items()},
        "self_keys": {member: _stream(key) for member, key in selves.items()},
        "burnt": verdict.burnt,
    }
    if verdict.burnt:
        return values
    total = flow.unmask(closed, number, next(iter(updates.values())).size)
    assert np.array_equal(total, plain_sum(list(updates.values())))
    return values | {
        "manifest_hash": manifest_hash(verdict.data).hex(),
        "survivors": list(verdict.survivors),
        "sum": total.tolist(),
    }


def _stream(key: bytes) -> Json:
    return {"key": key.hex(), "first_words": keystream(key, FIRST_WORDS).tolist()}


# ---- the files

VALUES = {
    "hashes": hashes_values,
    "shamir": shamir_values,
    "encoding": encoding_values,
    "session-3": session_values,
    "session-4": session_values,
}


def all_inputs() -> dict[str, Json]:
    return {
        "hashes": hashes_inputs(),
        "shamir": shamir_inputs(),
        "encoding": encoding_inputs(),
        "session-3": session_inputs(3),
        "session-4": session_inputs(4),
    }


def rendered(name: str) -> str:
    """A file's whole text."""
    inputs = all_inputs()[name]
    values = VALUES[name](inputs)
    return json.dumps({"inputs": inputs, "values": values}, indent=1, sort_keys=True) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in VALUES:
        (FOLDER / f"{name}.json").write_text(rendered(name), encoding="utf-8")


if __name__ == "__main__":
    main()
