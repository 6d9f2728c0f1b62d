"""One module a scenario: its model, its windows, its metrics and baselines, its generator."""

from __future__ import annotations

import importlib
from types import ModuleType

from fl_tasks.contracts.errors import ConfigError


def load(scenario: str) -> ModuleType:
    """Return the scenario's module; raises ConfigError if there is none."""
    name = f"{__name__}.{scenario}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError(
            f"scenario {scenario!r} has a YAML but no code; add fl_tasks/scenarios/{scenario}.py"
        ) from error
