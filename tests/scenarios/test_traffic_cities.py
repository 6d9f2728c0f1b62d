"""Four cities: generated files have the real ones' columns and flaws, and all go where the agencies' YAMLs say."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from pathlib import Path

import pytest

from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.paths import Home
from fl_tasks.scenarios import traffic
from fl_tasks.scenarios.hand_out import hand_out

FEDERATION = Path(__file__).parents[2] / "dags" / "federation"
CITIES = ["california_pems", "los_angeles", "minneapolis_i94", "new_york"]
PLATE = re.compile(r"[A-Z]{3} \d{3}")


@pytest.fixture(scope="module")
def generated():
    return traffic.generate(7)


def table(content):
    header, *rows = csv.reader(io.StringIO(gzip.decompress(content).decode()))
    return header, rows


def column(content, name):
    header, rows = table(content)
    return [row[header.index(name)] for row in rows]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(generated):
    assert traffic.generate(7) == generated
    assert traffic.generate(8) != generated


def test_generated_files_have_the_real_ones_columns_beside_the_plates(generated, shared_data):
    real = traffic.split_real(shared_data)
    assert {city: set(files) for city, files in generated.items()} == {city: set(files) for city, files in real.items()}
    for city, files in generated.items():
        for name, content in files.items():
            ours, theirs = (set(table(source)[0]) for source in (content, real[city][name]))
            if city == "los_angeles":  # other detectors, and fewer
                assert "timestamp" in ours & theirs
            else:
                assert ours - theirs <= {"Last Plate", "last_plate"}
                assert theirs - ours == set()


def test_generated_cities_have_the_flaws_that_the_data_stages_have_to_handle(generated):
    speed = generated["los_angeles"]["incoming/speed_5min.csv.gz"]
    _, rows = table(speed)
    cells = [float(cell) for row in rows for cell in row[1:]]
    assert 0.02 < sum(cell == 0.0 for cell in cells) / len(cells) < 0.15  # zeros that mean missing
    assert max(Counter(column(speed, "timestamp")).values()) > 1

    flow = generated["california_pems"]
    days = {cell.split()[0] for content in flow.values() for cell in column(content, "5 Minutes")}
    assert len(flow) == 2
    assert 60 <= len(days) <= 66  # working days only
    plates = [cell for content in flow.values() for cell in column(content, "Last Plate")]
    assert all(PLATE.fullmatch(plate) for plate in plates)

    volume = generated["minneapolis_i94"]["incoming/volume_1h.csv.gz"]
    times = column(volume, "date_time")
    assert max(Counter(times).values()) > 1
    assert len(set(times)) < 91 * 24  # gaps
    assert "0" in column(volume, "traffic_volume")

    trips = [int(cell) for cell in column(generated["new_york"]["trips/origin_destination.csv.gz"], "trips")]
    assert sum(trip < 5 for trip in trips) / len(trips) > 0.3


def test_the_trips_between_zones_add_up_to_the_pickups_of_their_hour(generated):
    files = generated["new_york"]
    header, rows = table(files["incoming/zone_pickups_1h.csv.gz"])
    assert [row[0] for row in rows] == [str(hour) for hour in range(len(rows))]
    sums = Counter()
    _, cells = table(files["trips/origin_destination.csv.gz"])
    for hour, origin, _, count in cells:
        sums[int(hour), int(origin)] += int(count)
    for hour in range(7 * 24):
        for zone in range(len(header) - 1):
            assert sums[hour, zone] == int(rows[hour][zone + 1])


def test_every_city_gets_its_files_below_its_own_folder(generated, tmp_path):
    hand_out("traffic", generated, Home(tmp_path), FEDERATION)
    assert [agency.agency for agency in load_federation(FEDERATION).members("traffic")] == CITIES
    for city, files in generated.items():
        for name, content in files.items():
            assert (tmp_path / "agencies" / city / name).read_bytes() == content


def test_a_missing_real_file_is_named_with_the_agency_that_needs_it(tmp_path):
    with pytest.raises(InputError, match=r"los_angeles_speed_5min\.csv\.gz: there is no such file; los_angeles"):
        traffic.split_real(tmp_path)
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        traffic.split_real(tmp_path / "nowhere")
