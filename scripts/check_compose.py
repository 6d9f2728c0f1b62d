"""Check docker-compose.yml against the compose specification's schema: `python scripts/check_compose.py [FILE]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from jsonschema import Draft7Validator

REPOSITORY = Path(__file__).resolve().parents[1]
# Its "$schema" names draft 2019-09, but it is written with the words of draft 7, like "definitions" and "id".
SCHEMA = REPOSITORY / "tests" / "compose" / "compose-spec.json"


def problems(path: Path) -> list[str]:
    """Return what is wrong with a compose file, a line for each field; the list is empty if it is valid.

    A template of ours (a top-level key `x-...`) is only seen where it is used: YAML puts it there.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = Draft7Validator(json.loads(SCHEMA.read_text())).iter_errors(content)
    return sorted(
        f"{path.name}: {'.'.join(map(str, error.absolute_path)) or '(file)'}: {error.message}" for error in found
    )


def main(arguments: list[str]) -> int:
    """Print what is wrong; 0 if nothing is."""
    path = Path(arguments[0]) if arguments else REPOSITORY / "docker-compose.yml"
    lines = problems(path)
    print("\n".join(lines) or f"{path.name}: valid by the compose specification")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
