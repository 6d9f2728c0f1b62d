"""The small vectors: hashes, secret sharing, encoding. See make_vectors.py."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from fl_tasks.contracts.base import canonical_json
from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.contracts.roster import Roster
from fl_tasks.contracts.tensors import tensors_sha256
from fl_tasks.secagg.quantize import decode_sum, encode_update
from fl_tasks.secagg.shamir import PRIME, SHARE_BYTES, combine, lagrange_weights, split
from tests.secagg.flow import Drawn, roster_of

Json = dict[str, Any]


def chosen(name: str, size: int = 32) -> bytes:
    """Bytes that stand for a secret in the vectors; never used outside them."""
    return hashlib.sha256(f"vectors/{name}".encode()).digest()[:size]


# ---- hashes.json


def hashes_inputs() -> Json:
    config = SecAggConfig(mode="active", n_c=1, t=3, clip=1.5, n_ref=100, w_max=4.0, max_loss=10.0)
    roster, _, _ = roster_of(4, 50, config)
    return {
        "roster": roster.model_dump(mode="json", by_alias=True),
        "models": [
            [tensor("b", "<f4", (2,), 1), tensor("a/kernel", "<f4", (2, 2), 2)],
            [tensor("w", "<f8", (), 3)],
            [tensor("empty", "<f4", (0, 3), 4), tensor("n", "<i8", (1,), 5)],
        ],
    }


def tensor(name: str, dtype: str, shape: tuple[int, ...], seed: int) -> Json:
    values = np.round(np.random.default_rng(seed).normal(size=shape) * 64).astype(dtype)
    return {"name": name, "dtype": dtype, "shape": list(shape), "content": values.tobytes().hex()}


def arrays(model: list[Json]) -> dict[str, np.ndarray]:
    return {t["name"]: np.frombuffer(bytes.fromhex(t["content"]), dtype=t["dtype"]).reshape(t["shape"]) for t in model}


def hashes_values(inputs: Json) -> Json:
    roster = Roster.model_validate_json(json.dumps(inputs["roster"]))
    return {
        "roster_canonical": canonical_json(inputs["roster"]).decode(),
        "roster_sha256": roster.sha256.hex(),
        "models_sha256": [tensors_sha256(arrays(model)).hex() for model in inputs["models"]],
    }


# ---- shamir.json


def shamir_inputs() -> Json:
    largest = f"{PRIME - 1:x}"
    return {
        "cases": [
            {
                "secret": chosen("shamir/secret").hex(),
                "coefficients": [coefficient("shamir/1"), coefficient("shamir/2")],
                "points": [1, 2, 3, 4],
                "reveal": [1, 2, 4],
            },
            {"secret": "00" * 32, "coefficients": ["1"], "points": [1, 2, 200], "reveal": [2, 200]},
            {"secret": "ff" * 32, "coefficients": ["1", "0"], "points": [1, 2, 3], "reveal": [1, 2, 3]},
            {
                "secret": chosen("shamir/wrap").hex(),
                "coefficients": [largest] * 3,
                "points": [5, 7, 11, 13, 200],
                "reveal": [5, 11, 13, 200],
            },
        ],
        "refused": [
            {
                "reason": "the value at 0 is 2^256, which is no secret",
                "shares": {"1": f"{2**256 + 1:066x}", "2": f"{2**256 + 2:066x}"},
            }
        ],
    }


def coefficient(name: str) -> str:
    return f"{int.from_bytes(chosen(name), 'big') % PRIME:x}"


def shamir_values(inputs: Json) -> Json:
    results = []
    for case in inputs["cases"]:
        highest_first = [int(value, 16) for value in reversed(case["coefficients"])]
        drawn = Drawn()
        drawn.coefficients.extend(highest_first)
        with drawn.instead_of_chance():
            shares = split(bytes.fromhex(case["secret"]), len(highest_first) + 1, case["points"])
        by_point = dict(zip(case["points"], shares, strict=True))
        weights = dict(zip(case["reveal"], lagrange_weights(case["reveal"]), strict=True))
        assert combine({point: by_point[point] for point in weights}, weights).hex() == case["secret"]
        results.append(
            {
                "shares": {str(point): share.hex() for point, share in by_point.items()},
                "weights": {str(point): f"{weight:0{2 * SHARE_BYTES}x}" for point, weight in weights.items()},
            }
        )
    return {"cases": results}


# ---- encoding.json: updates from float deltas, and what a sum of them says


def encoding_inputs() -> Json:
    config = {"mode": "active", "n_c": 0, "clip": 4.0, "n_ref": 128, "w_max": 4.0, "max_loss": 10.0}
    first = [
        ([0.5, -0.25, 1.0, 0.0, -1.5, 2.0], 128, [0.75, 0.5]),
        ([3e-9, -3e-9, 1e-7, 0.125, -0.125, 1.0], 300, [0.1, 12.5]),
        ([30.0, 0.0, 0.0, 0.0, -40.0, 0.0], 512, [10.0, 0.0]),
    ]
    second = [
        ([0.5, -0.25, 0.125], 64, [0.5, 0.25]),
        ([0.0, 0.0, 0.0], 1, [0.0, 0.0]),
        ([-4.0, 0.0, 0.0], 512, [10.0, 10.0]),
        ([0.1, 0.2, -0.3], 333, [1.0, 2.0]),
    ]
    return {"sums": [_sum_inputs(3, config, first, (0, 1, 2)), _sum_inputs(4, config, second, (0, 2, 3))]}


def _sum_inputs(n: int, config: Json, updates: list[tuple], survivors: tuple[int, ...]) -> Json:
    return {
        "n": n,
        "secagg": config,
        "updates": [
            {"delta": delta, "examples": examples, "losses": losses, "rounding_key": chosen(f"rounding/{n}/{i}").hex()}
            for i, (delta, examples, losses) in enumerate(updates)
        ],
        "survivors": list(survivors),
    }


def encoding_values(inputs: Json) -> Json:
    results = []
    for case in inputs["sums"]:
        config = SecAggConfig(**case["secagg"])
        words = [
            encode_update(
                np.array(u["delta"]),
                u["examples"],
                tuple(u["losses"]),
                case["n"],
                config,
                bytes.fromhex(u["rounding_key"]),
            )
            for u in case["updates"]
        ]
        total = plain_sum([words[i] for i in case["survivors"]])
        opened = decode_sum(total, len(case["survivors"]), case["n"], config)
        results.append(
            {
                "updates": [update.tolist() for update in words],
                "sum": total.tolist(),
                "members": opened.members,
                "examples": opened.examples,
                "clipped": opened.clipped,
                "mean_delta": opened.mean_delta.tolist(),
                "mean_loss": opened.mean_loss,
                "mean_validation_loss": opened.mean_validation_loss,
            }
        )
    return {"sums": results}


def plain_sum(updates: list[np.ndarray]) -> np.ndarray:
    total = np.zeros_like(updates[0])
    for update in updates:
        total += update
    return total
