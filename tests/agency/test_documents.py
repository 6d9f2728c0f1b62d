"""What the documents tell an operator to type is what the commands take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fl_tasks.__main__ import parser
from tests.attacks.agency_site import REPOSITORY

DOCS = REPOSITORY / "docs"
RUNBOOKS = DOCS / "runbooks"
# What an operator meets who did nothing wrong in the data: each has its page.
MET = (
    *("WrongKey", "NotAdmitted", "AgencyRevoked", "AdmissionExpired", "VersionMismatch", "DiskFull", "ExchangeFull"),
    *("ExchangeUnreachable", "NotTrusted", "ClockSkewed", "TokenExpired", "DaemonUnavailable"),
)
DOCUMENTS = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def commands(path: Path) -> list[str]:
    """Return a document's commands of `fl`: whole lines of its blocks, and what stands in backquotes."""
    text = path.read_text()
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    lines = [line.removeprefix(".venv/bin/") for line in blocks.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`(fl [a-z][^`]*)`", text.replace("\n", " "))
    return [line.replace("STAGE", "report") for line in (*lines, *inline) if re.match(r"fl [a-z]", line)]


def complaint(line: str, capsys) -> str:
    """What the command line says of a line that it does not take; a line that is only a part of one is taken."""
    try:
        parser().parse_args(shlex.split(line, comments=True)[1:])
    except SystemExit:
        said = capsys.readouterr().err.splitlines()[-1]
        return "" if "arguments are required" in said else said
    return ""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_of_the_documents_is_one(name, capsys):
    for line in commands(DOCS / name):
        assert complaint(line, capsys) == "", line


def test_the_runbooks_have_commands_to_hold():
    assert len([line for path in RUNBOOKS.glob("*.md") for line in commands(path)]) > 15


@pytest.mark.parametrize("line", ["fl agency card --agency east --where x", "fl agency leave", "fl coordinator admits"])
def test_a_command_that_is_none_is_seen(line, capsys):
    assert complaint(line, capsys) != ""


def test_every_page_of_the_runbooks_is_linked():
    linked = set(re.findall(r"\]\(([a-z_-]+\.md)\)", (RUNBOOKS / "README.md").read_text()))
    assert linked >= {path.name for path in RUNBOOKS.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("error", MET)
def test_what_an_operator_meets_has_a_page_of_that_name(error):
    (page,) = re.findall(rf"`{error}`[^|]*\| \[[^]]*\]\(([a-z_-]+\.md)\)", (RUNBOOKS / "README.md").read_text())
    assert f"`{error}`" in (RUNBOOKS / page).read_text()
    code = [path for folder in ("fl_tasks", "plugins") for path in (REPOSITORY / folder).rglob("*.py")]
    assert any(error in path.read_text() for path in code)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_the_documents_lead_somewhere(name):
    path = DOCS / name
    for link in re.findall(r"\]\(([^)#:]+\.md)", path.read_text()):
        assert (path.parent / link).is_file(), link
