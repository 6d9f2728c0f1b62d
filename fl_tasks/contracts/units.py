"""Units of measured values. Values convert within one dimension only: a speed never becomes a flow."""

from __future__ import annotations

from fl_tasks.contracts.errors import ConfigError

# unit -> (dimension, how many of the dimension's base unit one of it is)
_UNITS: dict[str, tuple[str, float]] = {
    "m/s": ("speed", 1.0),
    "km/h": ("speed", 1.0 / 3.6),
    "mph": ("speed", 0.44704),  # exactly, by the international mile of 1959
    "vehicles/5min": ("flow of vehicles", 12.0),
    "vehicles/15min": ("flow of vehicles", 4.0),
    "vehicles/h": ("flow of vehicles", 1.0),
    "vehicles/day": ("flow of vehicles", 1.0 / 24.0),
    "trips/30min": ("flow of trips", 2.0),
    "trips/h": ("flow of trips", 1.0),
    "passengers/30min": ("flow of passengers", 2.0),
    "passengers/h": ("flow of passengers", 1.0),
    "cases/day": ("number of cases by time", 1.0),
    "cases/week": ("number of cases by time", 1.0 / 7.0),
    "admissions/day": ("number of admissions by time", 1.0),
    "admissions/week": ("number of admissions by time", 1.0 / 7.0),
    "deaths/day": ("number of deaths by time", 1.0),
    "deaths/week": ("number of deaths by time", 1.0 / 7.0),
    "months": ("span of life", 1.0),
    "years": ("span of life", 12.0),
    "decades": ("span of life", 120.0),
    "USD/year": ("income in dollars", 1.0),
    "kUSD/year": ("income in dollars", 1_000.0),
    "10kUSD/year": ("income in dollars", 10_000.0),
}
_NO_COUNTS = {"speed", "span of life", "income in dollars"}
_MINUTES = {"5min": 5, "15min": 15, "30min": 30, "h": 60, "day": 1440, "week": 10_080}


def dimension(unit: str) -> str:
    """Return what a unit measures; raises ConfigError if it is unknown."""
    if unit not in _UNITS:
        raise ConfigError(f"unit {unit!r} is unknown; known are {', '.join(sorted(_UNITS))}")
    return _UNITS[unit][0]


def conversion(source: str, target: str) -> float:
    """Return the factor that turns values in one unit into values in another.

    Raises:
        ConfigError: If a unit is unknown, or the two measure different things.
    """
    if dimension(source) != dimension(target):
        raise ConfigError(
            f"unit {source!r} is a {dimension(source)}, {target!r} a {dimension(target)}: they do not convert; "
            "declare the unit that the data are in"
        )
    return 1.0 if source == target else _UNITS[source][1] / _UNITS[target][1]


def period_minutes(unit: str) -> int | None:
    """Return the minutes that a count is of, like 1440 for cases/day; None for what is no count, like a speed.

    Raises:
        ConfigError: If the unit is unknown.
    """
    if dimension(unit) in _NO_COUNTS:
        return None
    return _MINUTES[unit.rpartition("/")[2]]
