"""Flower's SecAgg+ in its own environment: its public functions, in the order of its client mod and its workflow.

Reads jobs as JSON lines {"n", "d", "lost"} and answers each with a line of seconds; ends with its input. Complete
graph (num_shares = N) and our threshold. Client and server run on one core, as they do in Flower. Left out on both
sides are files, messages, serialization and signatures; here also the training and the strategy.

Order of the steps: flwr/client/mod/secure_aggregation/secaggplus_mod.py and
flwr/server/workflow/secure_aggregation/secaggplus_workflow.py of flwr 1.41.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from flwr.common import ndarray_to_bytes
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import encrypt, generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    factor_combine,
    get_parameters_shape,
    parameters_addition,
    parameters_mod,
    parameters_multiply,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import quantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen, share_keys_plaintext_concat
from flwr.supercore.primitives.asymmetric import (
    bytes_to_private_key,
    bytes_to_public_key,
    generate_key_pairs,
    private_key_to_bytes,
    public_key_to_bytes,
)

# The defaults of SecAggPlusWorkflow.
CLIPPING_RANGE, TARGET_RANGE, MOD_RANGE, MAX_WEIGHT = 8.0, 4194304, 4294967296, 1000.0
LONG = 20.0  # seconds; what takes longer runs once


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Median seconds of up to three calls, and the last result."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < 3 and sum(seconds) < LONG):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), result


class Clients:
    """N clients after share_keys: keys, seeds, and the shares that the server will ask for."""

    def __init__(self, n: int, t: int, lost: frozenset[int]) -> None:
        self.n, self.t = n, t
        pairs = [(generate_key_pairs(), generate_key_pairs()) for _ in range(n)]
        self.sk1 = [private_key_to_bytes(one[0]) for one, _ in pairs]
        self.pk1 = [public_key_to_bytes(one[1]) for one, _ in pairs]
        self.sk2 = [private_key_to_bytes(two[0]) for _, two in pairs]
        self.pk2 = [public_key_to_bytes(two[1]) for _, two in pairs]
        self.seeds = [os.urandom(32) for _ in range(n)]
        self.seed_shares = [create_shares(seed, t, n) for seed in self.seeds]
        self.key_shares = {i: create_shares(self.sk1[i], t, n) for i in lost}

    def setup(self) -> None:
        """What one client does in the stages setup and share_keys."""
        (sk1, pk1), (sk2, pk2) = generate_key_pairs(), generate_key_pairs()
        secret = private_key_to_bytes(sk1)
        public_key_to_bytes(pk1), public_key_to_bytes(pk2)
        own = private_key_to_bytes(sk2)
        b_shares = create_shares(os.urandom(32), self.t, self.n)
        sk1_shares = create_shares(secret, self.t, self.n)
        for peer in range(1, self.n):
            key = generate_shared_key(bytes_to_private_key(own), bytes_to_public_key(self.pk2[peer]))
            encrypt(key, share_keys_plaintext_concat(0, peer, b_shares[peer], sk1_shares[peer]))

    def mask(self, me: int, parameters: list[np.ndarray]) -> list[np.ndarray]:
        """What _collect_masked_vectors does after the shares are decrypted and before the result is serialized."""
        q_ratio = round(100 / MAX_WEIGHT * TARGET_RANGE)
        scaled = parameters_multiply(parameters, q_ratio / TARGET_RANGE)
        vector = factor_combine(q_ratio, quantize(scaled, CLIPPING_RANGE, TARGET_RANGE))
        shapes = [array.shape for array in vector]
        vector = parameters_addition(vector, pseudo_rand_gen(self.seeds[me], MOD_RANGE, shapes))
        for peer in range(self.n):
            if peer == me:
                continue
            key = generate_shared_key(bytes_to_private_key(self.sk1[me]), bytes_to_public_key(self.pk1[peer]))
            pairwise = pseudo_rand_gen(key, MOD_RANGE, shapes)
            vector = (parameters_addition if me > peer else parameters_subtraction)(vector, pairwise)
        return parameters_mod(vector, MOD_RANGE)

    def unmask(self, masked: list[np.ndarray], lost: frozenset[int]) -> list[np.ndarray]:
        """What unmask_stage does between collecting the shares and dequantizing."""
        active = [i for i in range(self.n) if i not in lost]
        for nid in range(self.n):
            shares = self.key_shares[nid] if nid in lost else self.seed_shares[nid]
            secret = combine_shares([shares[holder] for holder in active])
            if nid not in lost:
                mask = pseudo_rand_gen(secret, MOD_RANGE, get_parameters_shape(masked))
                masked = parameters_subtraction(masked, mask)
                continue
            # The workflow goes through all neighbours, those without an update among them.
            for neighbour in (peer for peer in range(self.n) if peer != nid):
                key = generate_shared_key(bytes_to_private_key(secret), bytes_to_public_key(self.pk1[neighbour]))
                mask = pseudo_rand_gen(key, MOD_RANGE, get_parameters_shape(masked))
                masked = (parameters_addition if nid > neighbour else parameters_subtraction)(masked, mask)
        return parameters_mod(masked, MOD_RANGE)


def main() -> None:
    """Answer jobs until the input ends; clients of one N are kept for all its jobs."""
    made: dict[int, Clients] = {}
    setup: dict[int, float] = {}
    client: dict[tuple[int, int], tuple[float, int]] = {}
    for line in sys.stdin:
        job = json.loads(line)
        n, d, t = job["n"], job["d"], job["t"]
        lost = frozenset(job["lost"])
        if n not in made:
            made = {n: Clients(n, t, frozenset(job["ever_lost"]))}
            setup[n], _ = timed(made[n].setup)
        clients = made[n]
        parameters = [np.random.default_rng(1).normal(0, 0.01, d)]
        if (n, d) not in client:
            seconds, vector = timed(lambda clients=clients, parameters=parameters: clients.mask(0, parameters))
            client[n, d] = seconds, sum(len(ndarray_to_bytes(array)) for array in vector)
        masked = [np.zeros(1, dtype=np.int64), np.zeros(d, dtype=np.int64)]
        unmask, _ = timed(lambda clients=clients, masked=masked, lost=lost: clients.unmask(masked, lost))
        reveal, _ = timed(lambda clients=clients: [shares[0] for shares in clients.seed_shares])
        answer = {
            "setup": setup[n],
            "client_mask": client[n, d][0],
            "reveal": reveal,
            "server_unmask": unmask,
            "upload_bytes": client[n, d][1],
        }
        print(json.dumps(answer), flush=True)


main()
