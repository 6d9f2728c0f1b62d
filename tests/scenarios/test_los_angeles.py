"""Cutting the real file into districts, and handing files out to agencies."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

from fl_tasks.contracts.errors import ConfigError, InputError
from fl_tasks.contracts.paths import Home
from fl_tasks.scenarios import traffic_districts as traffic
from fl_tasks.scenarios.hand_out import hand_out
from fl_tasks.scenarios.los_angeles import DISTRICT_FILE as FILE

ROOT = Path(__file__).resolve().parents[2]
FEDERATION = ROOT / "dags" / "federation"
SHARED = ROOT.parent / "shared" / "data"
SPEED = "los_angeles_speed_5min.csv.gz"
PLACES = "los_angeles_sensor_locations.csv.gz"
CANARY = "31337"

needs_real = pytest.mark.skipif(
    not (SHARED / "traffic").is_dir(), reason="the real data (../shared/data/traffic) is not here"
)


@pytest.fixture
def data(tmp_path):
    """Four sensors on the corners of a square."""
    folder = tmp_path / "data"
    folder.mkdir()
    put(folder / SPEED, "timestamp,10,11,12,13\n2012-03-01 00:00:00,1.50,2,3,4\n2012-03-01 00:05:00,5,,7,8\n")
    put(
        folder / PLACES,
        "index,sensor_id,latitude,longitude\n0,10,35,-119\n1,11,35,-118\n2,12,34,-119\n3,13,34,-118\n",
    )
    return folder


def put(path, text):
    path.write_bytes(gzip.compress(text.encode()) if text is not None else b"")


def test_sensors_go_to_the_district_of_their_corner_and_cells_stay_as_they_were(data):
    files = {
        district: gzip.decompress(content[FILE]).decode() for district, content in traffic.split_real(data).items()
    }
    assert files == {
        "district_northwest": "timestamp,10\n2012-03-01 00:00:00,1.50\n2012-03-01 00:05:00,5\n",
        "district_northeast": "timestamp,11\n2012-03-01 00:00:00,2\n2012-03-01 00:05:00,\n",
        "district_southwest": "timestamp,12\n2012-03-01 00:00:00,3\n2012-03-01 00:05:00,7\n",
        "district_southeast": "timestamp,13\n2012-03-01 00:00:00,4\n2012-03-01 00:05:00,8\n",
    }


def test_the_folder_above_traffic_serves_too_and_the_bytes_are_the_same_each_time(data, tmp_path):
    shutil.copytree(data, tmp_path / "above" / "traffic")
    assert traffic.split_real(tmp_path / "above") == traffic.split_real(data)


@needs_real
def test_the_real_sensors_give_73_30_31_and_73():
    files = traffic.split_real(SHARED)
    sensors = {
        district: gzip.decompress(content[FILE]).split(b"\n", 1)[0].count(b",") for district, content in files.items()
    }
    assert sensors == {
        "district_northwest": 73,
        "district_northeast": 30,
        "district_southwest": 31,
        "district_southeast": 73,
    }


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        (SPEED, None, f"{SPEED}: the file is empty"),
        (SPEED, "timestamp,10,11,12,13\n", f"{SPEED}: only a header"),
        (SPEED, "timestamp\n2012-03-01\n", f"{SPEED}: line 1: there is no column beside"),
        (SPEED, "time,10,11,12,13\n2012-03-01,1,2,3,4\n", f"{SPEED}: line 1: there is no column 'timestamp'"),
        (SPEED, "10,timestamp,11,12,13\n", f"{SPEED}: line 1: column 'timestamp' must be the first"),
        (
            SPEED,
            f"timestamp,10,11,12,13\n2012-03-01,1,x{CANARY},3,4\n",
            f"{SPEED}: line 2: column '11' is not a number",
        ),
        (SPEED, "timestamp,10,11,12,13\n2012-03-01,1,2,inf,4\n", f"{SPEED}: line 2: column '12' is infinite"),
        (SPEED, f"timestamp,10,11,12,13\n{CANARY}-,1,2,3,4\n", f"{SPEED}: line 2: column 'timestamp' is no date"),
        (SPEED, "timestamp,10,11,12,99\n2012-03-01,1,2,3,4\n", f"{SPEED}: column '99': the sensor has no coordinates"),
        (PLACES, None, f"{PLACES}: the file is empty"),
        (PLACES, "sensor_id,latitude,longitude\n", f"{PLACES}: only a header"),
        (PLACES, "sensor_id,latitude\n10,35\n", f"{PLACES}: line 1: there is no column 'longitude'"),
        (PLACES, "sensor_id,latitude,longitude\n10,n,1\n", f"{PLACES}: line 2: column 'latitude' is not a number"),
        (PLACES, "sensor_id,latitude,longitude\n10,35,inf\n", f"{PLACES}: line 2: column 'longitude' is infinite"),
        (
            PLACES,
            "sensor_id,latitude,longitude\n10,35,\n",
            f"{PLACES}: line 2: column 'longitude' is missing or beyond",
        ),
        (
            PLACES,
            "sensor_id,latitude,longitude\n10,95,1\n",
            f"{PLACES}: line 2: column 'latitude' is missing or beyond",
        ),
        (PLACES, "sensor_id,latitude,longitude\n10,35,1\n10,35,1\n", f"{PLACES}: line 3: column 'sensor_id' repeats"),
    ],
)
def test_bad_files_are_refused_with_file_and_column_but_without_the_value(data, file, content, expected):
    put(data / file, content)
    with pytest.raises(InputError) as caught:
        traffic.split_real(data)
    assert expected in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_missing_folder_and_a_missing_file_are_refused(data):
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        traffic.split_real(data / "nowhere")
    (data / PLACES).unlink()
    with pytest.raises(InputError, match=f"{PLACES}: there is no such file"):
        traffic.split_real(data)


def test_sensors_all_in_one_place_make_no_districts(data):
    put(data / PLACES, "sensor_id,latitude,longitude\n10,35,1\n11,35,1\n12,35,1\n13,35,1\n")
    with pytest.raises(InputError, match="no sensor lies in district_northwest"):
        traffic.split_real(data)


def test_every_agency_gets_its_file_at_the_path_of_its_yaml(data, tmp_path):
    files, home = traffic.split_real(data), Home(tmp_path / "home")
    hand_out("traffic_districts", files, home, FEDERATION)
    for agency, content in files.items():
        path = home.agency(agency) / "incoming" / "speed_5min.csv.gz"
        assert path.read_bytes() == content[FILE]
        assert path.stat().st_mode & 0o777 == 0o600
        assert home.agency(agency).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("agency", "content", "error", "message"),
    [
        ("district_unknown", gzip.compress(b"x", mtime=0), ConfigError, "there is no such file"),
        ("district_southeast", b"", InputError, "is empty"),
        ("district_southeast", b"plain", InputError, "not a whole gzip file"),
        ("district_southeast", gzip.compress(b"plain" * 99, mtime=0)[:-3], InputError, "not a whole gzip file"),
    ],
)
def test_nothing_is_handed_out_if_one_file_is_wrong(data, tmp_path, agency, content, error, message):
    files = {**traffic.split_real(data), agency: {FILE: content}}
    with pytest.raises(error, match=message):
        hand_out("traffic_districts", files, Home(tmp_path / "home"), FEDERATION)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("traffic_districts:", "another:", "field scenarios: 'traffic_districts' is not there"),
        ("incoming/", "elsewhere/", r"field scenarios\.traffic_districts\.path: this data set goes to incoming/speed"),
    ],
)
def test_an_agency_whose_yaml_has_no_place_for_the_file_is_named(data, tmp_path, old, new, message):
    federation = tmp_path / "federation"
    shutil.copytree(FEDERATION, federation)
    path = federation / "agencies" / "district_southeast.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=rf"district_southeast\.yaml: {message}"):
        hand_out("traffic_districts", traffic.split_real(data), Home(tmp_path / "home"), federation)
