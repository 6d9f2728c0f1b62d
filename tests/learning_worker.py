"""One learning worker for the stages that a test runs, as a daemon lends it to its own: TensorFlow is imported once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from fl_tasks.contracts.channel import pair, send
from fl_tasks.stages.learning_process import CHANNEL, learning_python

_MEMORY_BYTES = 8 << 30


@contextmanager
def lent_worker() -> Iterator[None]:
    """Let this process's stages have their learning jobs done by one worker."""
    control, theirs = pair()
    argv = [learning_python(), "-P", "-m", "fl_tasks.learning.zygote", str(theirs.fileno()), str(_MEMORY_BYTES)]
    with theirs:
        zygote = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    channel, end = pair()
    with control, channel:
        with end:
            send(control, {}, [end.fileno()])
        os.environ[CHANNEL] = str(channel.fileno())
        try:
            yield
        finally:
            del os.environ[CHANNEL]
            zygote.kill()
            zygote.wait()
