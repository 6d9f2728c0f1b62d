"""Finding a scenario's data checks."""

from __future__ import annotations

import importlib
from types import ModuleType

from fl_tasks.contracts.errors import ConfigError


def load_suite(scenario: str) -> ModuleType:
    """Return expectations/<scenario>/suite.py; raises ConfigError if there is none."""
    name = f"expectations.{scenario}.suite"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise ConfigError(
            f"scenario {scenario!r} has a YAML but no data checks; add expectations/{scenario}/suite.py"
        ) from error
