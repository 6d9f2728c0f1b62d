"""Every attack and every rule has both tests, and README.md names checks that are there."""

from __future__ import annotations

import ast
import functools
import pkgutil
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
README = (HERE / "README.md").read_text()
# These rules are what an attack attacks.
SHOWN_BY_ATTACK = {3: 16, 4: 19}


@functools.cache
def _tests() -> set[str]:
    """Names of all test functions of this folder; read, not imported: some need another environment."""
    trees = (ast.parse(path.read_text()) for path in HERE.glob("test_*.py"))
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def _has(kind: str, number: int, end: str) -> bool:
    pattern = re.compile(rf"test_{kind}_{number:02d}_.*_{end}")
    return any(pattern.fullmatch(name) for name in _tests())


@pytest.mark.parametrize("number", range(1, 25))
def test_every_attack_is_shown_and_refused(number):
    assert _has("attack", number, "shown")
    assert _has("attack", number, "refused")
    assert re.search(rf"^\| {number} \| \d+ \|", README, re.MULTILINE)


@pytest.mark.parametrize("number", range(1, 11))
def test_every_rule_is_shown_and_refused(number):
    kind, attack = ("attack", SHOWN_BY_ATTACK[number]) if number in SHOWN_BY_ATTACK else ("rule", number)
    assert _has(kind, attack, "shown")
    assert _has(kind, attack, "refused")


def test_the_checks_of_the_table_are_in_the_code():
    rows = [line for line in README.splitlines() if re.match(r"\| \d+ \|", line)]
    checks = {
        name for row in rows for name in re.findall(r"`([a-z_.]+\.[A-Za-z_.]+)`", row) if not name.endswith(".py")
    }
    assert len(checks) > 25
    for check in checks:
        pkgutil.resolve_name(check if check.startswith("fl_tasks") else f"fl_tasks.secagg.{check}")
