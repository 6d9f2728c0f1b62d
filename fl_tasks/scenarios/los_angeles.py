"""The real thing: 207 loop detectors of Los Angeles, cut into four districts by their coordinates."""

from __future__ import annotations

import csv
import gzip
import io
import statistics
from pathlib import Path

from fl_tasks.contracts.errors import InputError
from fl_tasks.data.csv_table import CsvTable
from fl_tasks.data.series import TIME
from fl_tasks.scenarios.hand_out import Files
from fl_tasks.scenarios.real_data import traffic_folder

DISTRICTS = ("district_northwest", "district_northeast", "district_southwest", "district_southeast")

SPEED_FILE = "los_angeles_speed_5min.csv.gz"
LOCATIONS_FILE = "los_angeles_sensor_locations.csv.gz"
DISTRICT_FILE = "incoming/speed_5min.csv.gz"
"""Where a district's file goes, relative to its agency's folder."""
_SENSOR, _LATITUDE, _LONGITUDE = "sensor_id", "latitude", "longitude"

Place = tuple[float, float]


def split_real(data: Path) -> Files:
    """Cut the Los Angeles file into four districts at the sensors' median latitude and longitude.

    A sensor on the median belongs to the south or the west. The real file gives 73, 30, 31 and 73 sensors. Cells are
    passed on as they stand; every one is checked first.

    Args:
        data: A folder with `traffic/`, or with the files of `traffic/` themselves.

    Returns:
        District -> its one file, CSV, gzip without a time stamp (the same bytes each time), in the order of DISTRICTS.

    Raises:
        InputError: If the folder, a file or a column is missing, a file is empty or malformed, a value is no number
            or infinite, or a sensor has no coordinates; the message names file, line and column.
    """
    folder = traffic_folder(data)
    places = _places(folder / LOCATIONS_FILE)
    table = CsvTable(folder / SPEED_FILE, needs=(TIME,))
    if table.columns[0] != TIME:
        raise InputError(f"{table.name}: line 1: column {TIME!r} must be the first; put the sensors after it")
    sensors = table.columns[1:]
    if not sensors:
        raise InputError(f"{table.name}: line 1: there is no column beside {TIME!r}; one column a sensor is needed")
    for sensor in sensors:
        if sensor not in places:
            raise InputError(
                f"{table.name}: column {sensor!r}: the sensor has no coordinates; "
                f"add it to {folder / LOCATIONS_FILE} or remove the column"
            )
    members = _members(sensors, places)
    texts = {district: io.StringIO() for district in members}
    writers = {district: csv.writer(text, lineterminator="\n") for district, text in texts.items()}
    for district, columns in members.items():
        writers[district].writerow([TIME, *(sensors[column] for column in columns)])
    rows = 0
    for line, cells in table.rows():
        rows += 1
        table.moment(line, TIME, cells[0])
        table.numbers(line, sensors, cells[1:])
        for district, columns in members.items():
            writers[district].writerow([cells[0], *(cells[column + 1] for column in columns)])
    if rows == 0:
        raise InputError(f"{table.name}: only a header, no row; at least one row is needed")
    return {
        district: {DISTRICT_FILE: gzip.compress(text.getvalue().encode(), compresslevel=6, mtime=0)}
        for district, text in texts.items()
    }


def _places(path: Path) -> dict[str, Place]:
    """Return sensor -> (latitude, longitude) in degrees."""
    table = CsvTable(path, needs=(_SENSOR, _LATITUDE, _LONGITUDE))
    sensor, latitude, longitude = (table.columns.index(name) for name in (_SENSOR, _LATITUDE, _LONGITUDE))
    places: dict[str, Place] = {}
    for line, cells in table.rows():
        names = (_LATITUDE, _LONGITUDE)
        north, east = table.numbers(line, names, (cells[latitude], cells[longitude]))
        for name, degrees, limit in zip(names, (north, east), (90.0, 180.0), strict=True):
            if not abs(degrees) <= limit:
                raise InputError(
                    f"{table.name}: line {line}: column {name!r} is missing or beyond {limit:g} degrees; "
                    "decimal degrees are needed"
                )
        if cells[sensor] in places:
            raise InputError(f"{table.name}: line {line}: column {_SENSOR!r} repeats a sensor; keep one of them")
        places[cells[sensor]] = (north, east)
    if not places:
        raise InputError(f"{table.name}: only a header, no row; one row a sensor is needed")
    return places


def _members(sensors: tuple[str, ...], places: dict[str, Place]) -> dict[str, list[int]]:
    """Return district -> positions of its sensors, in the file's order."""
    middle_north = statistics.median(places[sensor][0] for sensor in sensors)
    middle_east = statistics.median(places[sensor][1] for sensor in sensors)
    members: dict[str, list[int]] = {district: [] for district in DISTRICTS}
    for index, sensor in enumerate(sensors):
        north, east = places[sensor]
        side = ("north" if north > middle_north else "south") + ("east" if east > middle_east else "west")
        members[f"district_{side}"].append(index)
    for district, columns in members.items():
        if not columns:
            raise InputError(f"no sensor lies in {district}; sensors on all sides of the middle are needed")
    return members
