"""What a run may be told by hand, as JSON schema. Nothing of it can make a run larger than its scenario."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.sdk import Param

from fl_tasks.contracts.config import ScenarioConfig

_ISO_TIME = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?$"


def retraining_params(scenario: ScenarioConfig, agencies: Sequence[str]) -> dict[str, Param]:
    """Return the parameters of a retraining."""
    return {
        "rounds": Param(
            None,
            type=["integer", "null"],
            minimum=1,
            maximum=scenario.rounds.wanted,
            description="Fewer rounds than the scenario wants.",
        ),
        **forecast_params(agencies),
        "dry_run": Param(
            False,
            type="boolean",
            description="Prepare the data, say who and what a run would use, and stop before anything is trained.",
        ),
        "local_only": Param(
            True,
            type="boolean",
            description="Whether each agency also trains a model on its own data alone, to compare with. It takes as "
            "long as all rounds together, and decides nothing.",
        ),
    }


def forecast_params(agencies: Sequence[str]) -> dict[str, Param]:
    """Return the parameters of a forecast."""
    return {
        "agencies": Param(
            None,
            type=["array", "null"],
            items={"enum": list(agencies)},
            minItems=1,
            uniqueItems=True,
            description="Fewer agencies than the roster has.",
        ),
        "interval": Param(
            None,
            type=["array", "null"],
            items={"type": "string", "pattern": _ISO_TIME},
            minItems=2,
            maxItems=2,
            description="Start and end of the data interval instead of the run's own; without a UTC offset in the "
            "scenario's time zone.",
        ),
    }


def rollback_params() -> dict[str, Param]:
    """Return the parameters of a rollback."""
    return {
        "version": Param(
            None,
            type=["integer", "null"],
            minimum=1,
            description="Registry version to restore; by default the champion's predecessor.",
        )
    }
