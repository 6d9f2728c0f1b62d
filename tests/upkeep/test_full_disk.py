"""A command that finds no room on the disk says what to do, is worth a retry, and leaves nothing half."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fl_tasks.commands.common import exit_code_of
from fl_tasks.contracts.stage import EXIT_RETRY, write_spec
from tests.small_disk import MIB, fill, small_disk
from tests.stages.federation_run import AGENCIES, Run


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


def test_a_stage_on_a_full_disk_says_so_and_its_retry_does_the_work(tmp_path):
    with small_disk(tmp_path / "disk", 64 * MIB) as disk:
        run = Run(disk, rounds=1)
        run.install()
        assert run.command("ingest", AGENCIES[0]).returncode == 0
        write_spec(run.spec("anonymize", AGENCIES[0]))
        before = files(run.home.agency(AGENCIES[0]))
        filler = fill(disk)
        full = run.again("anonymize", AGENCIES[0])
        assert full.returncode == EXIT_RETRY, full.stderr
        assert "error: DiskFull: " in full.stderr
        assert files(run.home.agency(AGENCIES[0])) == before
        filler.unlink()
        assert run.again("anonymize", AGENCIES[0]).returncode == 0


def files(folder: Path) -> set[str]:
    """What is there, but for a stage's locks, which are empty."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.stat().st_size}
