"""What the documents tell an operator to type is what the commands take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fl_tasks.__main__ import parser
from tests.attacks.agency_site import REPOSITORY

DOCUMENTS = (
    *("how-to/agency.md", "how-to/federation-hosts.md", "runbooks/wrong-key.md", "runbooks/agency-not-admitted.md"),
    *("runbooks/version-mismatch.md", "runbooks/server-unreachable.md", "runbooks/clock-off.md"),
    "runbooks/agency-processes.md",
)
RUNBOOKS = REPOSITORY / "docs" / "runbooks"


def commands(path: Path) -> list[str]:
    """Return the whole lines of `fl` in a document's blocks of commands."""
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [line.removeprefix(".venv/bin/") for line in lines if re.match(r"(\.venv/bin/)?fl [a-z]", line)]


def test_every_command_of_the_documents_is_one():
    found = [line for name in DOCUMENTS for line in commands(REPOSITORY / "docs" / name)]
    assert len(found) > 10
    for line in found:
        words = shlex.split(line, comments=True)[1:]
        assert parser().parse_args(words).function is not None, line


def test_a_command_that_is_none_would_be_seen():
    with pytest.raises(SystemExit):
        parser().parse_args(shlex.split("agency join --agency east"))


def test_every_page_of_the_runbooks_is_linked():
    linked = set(re.findall(r"\]\(([a-z_-]+\.md)\)", (RUNBOOKS / "README.md").read_text()))
    assert linked >= {path.name for path in RUNBOOKS.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_the_documents_lead_somewhere(name):
    path = REPOSITORY / "docs" / name
    for link in re.findall(r"\]\(([^)#]+\.md)", path.read_text()):
        assert (path.parent / link).is_file(), link
