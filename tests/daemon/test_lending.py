"""Which job a learning worker gets next."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from fl_tasks.contracts.channel import pair, receive, send
from fl_tasks.daemon.workers import Workers


def test_the_largest_of_the_waiting_jobs_is_next_and_of_equal_ones_the_first():
    watched = {}
    workers = Workers(lambda: Path("never started"), most=1, memory_bytes=2**30)
    workers.attach(watched.__setitem__, watched.pop)
    mine, zygote = pair()
    workers._control = mine
    codes = []
    for name, weight in (("first", 1), ("small", 2), ("large", 9), ("as large", 9), ("none", 0)):
        workers.lend(object(), name, os.open(os.devnull, os.O_WRONLY), codes.append, weight=weight)
    fork = receive(zygote)
    order = []
    with zygote, socket.socket(fileno=fork.files[0]) as worker:
        for code in range(5):
            message = receive(worker)
            os.close(message.files[0])
            order.append(message.body["job"])
            send(worker, {"code": code, "memory": 0})
            (hear,) = watched.values()
            hear()
    assert order == ["first", "large", "as large", "small", "none"]
    assert codes == [0, 1, 2, 3, 4]
    mine.close()
