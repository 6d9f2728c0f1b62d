"""What the machine can do at most: AES-256-CTR keystream and its addition to a vector, on all cores.

The oracle of the secure aggregation's benchmark. It shares no code with the product, opens one cipher a thread, and
its threads run before the clock starts.
"""

from __future__ import annotations

import os
import threading
import time

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# The best of these counts: on some machines the first, on others the last fits the cache better.
CHUNKS = (64 * 1024, 128 * 1024, 256 * 1024)


def seconds(streams: int, d: int, chunk: int) -> float:
    """Seconds for `streams` keystreams of 4d bytes, each added to a vector of d words.

    Args:
        streams: Keystreams.
        d: Words of the vector.
        chunk: Bytes of a chunk, which stays in the cache while all streams pass.
    """
    vector = np.zeros(d, dtype=np.uint32)
    cores = len(os.sched_getaffinity(0))
    cuts = [d * i // cores for i in range(cores + 1)]
    ready = threading.Barrier(cores + 1)
    threads = [
        threading.Thread(target=_work, args=(vector[cuts[i] : cuts[i + 1]], streams, chunk, ready))
        for i in range(cores)
    ]
    for thread in threads:
        thread.start()
    while ready.n_waiting < cores:
        time.sleep(0.0001)
    start = time.perf_counter()
    ready.wait()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def _work(vector: np.ndarray, streams: int, chunk: int, ready: threading.Barrier) -> None:
    cipher = Cipher(algorithms.AES(os.urandom(32)), modes.CTR(bytes(16))).encryptor()
    zeros, buffer = memoryview(bytes(chunk)), bytearray(chunk + 15)
    words = np.frombuffer(buffer, dtype="<u4", count=chunk // 4)
    parts = [vector[at : at + chunk // 4] for at in range(0, vector.size, chunk // 4)]
    update, add = cipher.update_into, np.add
    ready.wait()
    for part in parts:
        source, stream = zeros[: 4 * part.size], words[: part.size]
        for _ in range(streams):
            update(source, buffer)
            add(part, stream, out=part)
