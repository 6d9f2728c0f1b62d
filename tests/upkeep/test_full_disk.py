"""A command that finds no room on the disk says what to do, and is worth a retry."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fl_tasks.commands.common import exit_code_of
from fl_tasks.contracts.stage import EXIT_RETRY


def test_a_full_disk_is_named_with_what_to_do(capsys):
    assert exit_code_of(lambda: Path("/dev/full").write_bytes(b"x")) == EXIT_RETRY
    said = capsys.readouterr().err
    assert said.startswith("error: DiskFull: ")
    assert "make room (docs/runbooks/disk-full.md" in said


def test_another_error_of_the_system_is_no_full_disk():
    def refused() -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        exit_code_of(refused)
