"""TensorFlow, imported once: `python -m fl_tasks.learning.zygote FD BYTES` forks a worker for whoever asks.

    daemon --(fork me a worker, here is its channel)--> zygote --fork--> worker: job after job, traces kept

The zygote has imported everything and executed nothing, so that it may fork. A worker starts without the seconds of
the import, shares the imported memory with all others, and keeps what it has traced, by model. It gets the path of a
job's file and its caller's output, and answers with the job's exit code. Whoever loses the other end of its channel
ends at once, in the middle of a training too: a stage that is killed takes the job with it.
"""

from __future__ import annotations

import gc
import os
import queue
import resource
import shutil
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

from fl_tasks.contracts.channel import Message, receive, send
from fl_tasks.learning import scratch
from fl_tasks.learning.__main__ import main as do_job


def main(arguments: list[str]) -> int:
    """Fork workers until the channel's other end is gone; the second argument is a worker's memory, bytes."""
    control, most = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    scratch.sweep()
    # Every module that a job needs, and nothing that TensorFlow would start threads for.
    from fl_tasks.learning import client, examples, predict, server  # noqa: F401, PLC0415

    # Workers are nobody's to wait for: the kernel reaps them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What was imported stays where it is: a collection in a worker would copy its pages.
    gc.collect()
    gc.freeze()
    while (message := receive(control)) is not None:
        channel = socket.socket(fileno=message.files[0])
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))
            _work(channel)
        channel.close()
    return 0


def _work(channel: socket.socket) -> None:
    """Do job after job; ends with the channel."""
    jobs: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, jobs, scratch.take()), daemon=True).start()
    while True:
        message = jobs.get()
        _into(message.files[0])
        code = _code_of(Path(message.body["job"]))
        sys.stdout.flush()
        sys.stderr.flush()
        # The caller's output is let go of: whoever reads it waits for its end.
        _into(os.open(os.devnull, os.O_WRONLY))
        send(channel, {"code": code, "memory": _memory()})


def _into(file: int) -> None:
    """Make a file this process's output, and close it under its own number."""
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _memory() -> int:
    """Return this process's resident memory that is not a file's, bytes."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * resource.getpagesize()


def _listen(channel: socket.socket, jobs: queue.SimpleQueue[Message], folder: Path) -> None:
    while (message := receive(channel)) is not None:
        jobs.put(message)
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _code_of(job: Path) -> int:
    """Do a job as `python -m fl_tasks.learning job` does, a mistake in the program included."""
    try:
        return do_job([str(job)])
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
