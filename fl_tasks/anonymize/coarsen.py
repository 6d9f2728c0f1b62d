"""Place and time, made coarse: a step of at least a quarter of an hour, a cell of a grid, or a zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.errors import ValueNotCovered
from fl_tasks.contracts.errors import ConfigError, InputError

LEAST_MINUTES = 15
LEAST_METRES = 100.0
_METRES_A_DEGREE = 111_320.0
_DAY_MINUTES = 24 * 60


def coarsen_time(times: NDArray[np.datetime64], minutes: int) -> NDArray[np.datetime64]:
    """Replace each time by the start of its step.

    Args:
        times: Shape (n,), local wall time.
        minutes: Length of a step; from 15 to a day, of which it must be a whole part, so that steps begin at midnight.

    Returns:
        Shape (n,), in minutes.

    Raises:
        ConfigError: If the step is too short or does not fit into the day.
        InputError: If a time is missing; its row, from 1, is named.
    """
    if not LEAST_MINUTES <= minutes <= _DAY_MINUTES or _DAY_MINUTES % minutes:
        raise ConfigError(
            f"a step of {minutes} minutes: from {LEAST_MINUTES} to {_DAY_MINUTES} are needed, a whole part of a day"
        )
    missing = np.flatnonzero(np.isnat(times))
    if len(missing):
        raise InputError(f"row {int(missing[0]) + 1}: a time is missing; quarantine the row, or fill it")
    # Counted from midnight: minutes since 1970 fall on it, as a step is a whole part of a day.
    whole = times.astype("datetime64[m]").astype(np.int64) // minutes * minutes
    coarse: NDArray[np.datetime64] = whole.astype("datetime64[m]")
    return coarse


def coarsen_to_grid(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64], metres: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Replace each place by the middle of its cell in a grid of nearly square cells.

    Args:
        latitude: Shape (n,), degrees from -90 to 90.
        longitude: Shape (n,), degrees from -180 to 180.
        metres: Side of a cell, at least 100; a cell's width in degrees is that of the middle of its band of latitude.

    Returns:
        Latitude and longitude of the cells' middles, shape (n,) each; the same for all places of a cell.

    Raises:
        ConfigError: If the cells are too small, or not smaller than a tenth of the way from pole to pole.
        InputError: If a place is missing or outside; its row, from 1, is named.
    """
    if not LEAST_METRES <= metres <= 18 * _METRES_A_DEGREE:
        raise ConfigError(f"a cell of {metres:g} m: from {LEAST_METRES:g} to {18 * _METRES_A_DEGREE:g} m are needed")
    wrong = np.flatnonzero(~((np.abs(latitude) <= 90.0) & (np.abs(longitude) <= 180.0)))
    if len(wrong):
        raise InputError(f"row {int(wrong[0]) + 1}: its place is missing or no degrees; quarantine the row")
    height = metres / _METRES_A_DEGREE
    bands = np.ceil(180.0 / height)
    band = np.minimum(np.floor((latitude + 90.0) / height), bands - 1)
    middle = np.minimum(-90.0 + (band + 0.5) * height, 90.0)
    columns = np.maximum(np.floor(360.0 * np.cos(np.radians(middle)) / height), 1.0)
    column = np.minimum(np.floor((longitude + 180.0) / 360.0 * columns), columns - 1)
    return middle, -180.0 + (column + 0.5) * 360.0 / columns


def coarsen_to_zone(places: Sequence[str], zone_of: Mapping[str, str], *, column: str) -> list[str]:
    """Replace each place by the zone that it lies in.

    Args:
        places: Names of n places.
        zone_of: The zone of every place.
        column: How messages call the column.

    Raises:
        ValueNotCovered: If a place has no zone; its row, from 1, is named.
    """
    zones = [zone_of.get(place) for place in places]
    for row, zone in enumerate(zones, start=1):
        if zone is None:
            raise ValueNotCovered(f"column {column!r}: row {row}: its place has no zone; add it to the zones")
    return [zone for zone in zones if zone is not None]
