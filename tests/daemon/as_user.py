"""Run a command as another user, who sees the checkout and its interpreter wherever they lie; root only.

    unshare --mount --propagation private PYTHON -m tests.daemon.as_user UID GROUP[,GROUP...] COMMAND ...

The first group is the user's own.
"""

from __future__ import annotations

import os
import sys

from fl_airflow.hosts.reach import needed_folders, open_to_all


def main(user: str, groups: str, *command: str) -> None:
    open_to_all(needed_folders())
    ids = [int(group) for group in groups.split(",")]
    os.setgroups(ids)
    os.setgid(ids[0])
    os.setuid(int(user))
    os.chdir("/")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
