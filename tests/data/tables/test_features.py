"""What the model sees: names in the schema's order, labels of the agreed levels, scaled numbers, pictures."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fl_tasks.contracts.errors import ConfigError, InputError
from fl_tasks.contracts.preparation import ColumnScale, Preparation
from fl_tasks.data.tables.features import encode, encode_pictures, encode_target, feature_names
from fl_tasks.data.tables.table import Table, texts
from tests.data.tables.declared import config

COLUMNS = (
    {"column": "poor", "role": "target", "values": ("no", "yes")},
    {"column": "age", "role": "quasi_identifier", "kind": "numeric", "minimum": 0.0, "maximum": 99.0, "optional": True},
    {"column": "sick", "role": "sensitive", "values": ("a", "b")},
    {"column": "seen", "role": "sensitive", "values": ("a", "b"), "used": True},
    {"column": "sex", "role": "quasi_identifier", "values": ("f", "m"), "used": False},
    {"column": "income", "role": "feature", "kind": "numeric", "minimum": 0.0, "maximum": 9.0, "optional": True},
    {"column": "work", "role": "feature", "values": ("y", "n"), "optional": True},
    {"column": "house", "role": "feature", "values": ("big", "small")},
)


def hierarchy(*levels):
    return SimpleNamespace(levels=tuple(SimpleNamespace(labels=labels) for labels in levels))


HIERARCHIES = {
    "age": hierarchy(("1", "60"), ("[0, 50)", "[50, 100)"), ("*",)),
    "sex": hierarchy(("f", "m"), ("*",)),
}
NAMES = (
    *("age=[0, 50)", "age=[50, 100)", "seen=a", "seen=b"),
    *("income", "income?", "work=y", "work=n", "work?", "house=big", "house=small"),
)
PREPARATION = Preparation(
    levels={"age": 1, "sex": 0}, features=NAMES, scales={"income": ColumnScale(mean=2.0, std=4.0)}
)
TABLE = Table(
    {
        "poor": texts(["yes", "no"]),
        "age": texts(["[50, 100)", "[0, 50)"]),
        "sick": texts(["a", "b"]),
        "seen": texts(["b", "a"]),
        "sex": texts(["f", "m"]),
        "income": np.array([4.0, np.nan]),
        "work": texts(["", "n"]),
        "house": texts(["small", "big"]),
    }
)


def test_features_stand_in_the_schemas_order_and_a_top_level_is_none():
    schema = config(COLUMNS)
    assert feature_names(schema, PREPARATION.levels, HIERARCHIES) == NAMES
    assert feature_names(schema, {"age": 2, "sex": 1}, HIERARCHIES) == NAMES[2:]


def test_rows_are_encoded_in_that_order():
    x = encode(TABLE, config(COLUMNS), PREPARATION, HIERARCHIES)
    assert x.dtype == np.float32
    assert x.tolist() == [[0, 1, 0, 1, 0.5, 0, 0, 0, 1, 0, 1], [1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0]]


def test_other_features_than_agreed_on_are_refused():
    other = PREPARATION.model_copy(update={"features": NAMES[1:] + NAMES[:1]})
    with pytest.raises(ConfigError, match="11 features were agreed on, this schema gives 11, or others"):
        encode(TABLE, config(COLUMNS), other, HIERARCHIES)


def test_a_level_that_a_hierarchy_has_not_is_refused():
    with pytest.raises(ConfigError, match="column 'age': level 3"):
        feature_names(config(COLUMNS), {"age": 3, "sex": 0}, HIERARCHIES)


def test_a_scale_that_was_not_agreed_on_is_refused():
    with pytest.raises(ConfigError, match="column 'income': no scale"):
        encode(TABLE, config(COLUMNS), PREPARATION.model_copy(update={"scales": {}}), HIERARCHIES)


def test_a_text_that_is_no_label_is_refused_by_row_and_column_only():
    odd = TABLE.replaced({"house": texts(["small", "31337"])})
    with pytest.raises(InputError, match="column 'house': row 2") as caught:
        encode(odd, config(COLUMNS), PREPARATION, HIERARCHIES)
    assert "31337" not in str(caught.value)


def test_the_target_is_one_hot_in_the_classes_order():
    assert encode_target(TABLE, config(COLUMNS)).tolist() == [[0, 1], [1, 0]]


def pictures(height, width, side, rows):
    columns = tuple(
        {"column": f"p{place}", "role": "feature", "kind": "numeric", "minimum": 0.0, "maximum": 16.0}
        for place in range(height * width)
    )
    schema = config(
        ({"column": "poor", "role": "target", "values": ("no", "yes")}, *columns),
        image={"height": height, "width": width, "side": side, "maximum": 16.0},
    )
    table = {f"p{place}": np.asarray(rows, dtype=np.float64)[:, place] for place in range(height * width)}
    return encode_pictures(Table(table), schema)


def bilinear(picture, side):
    """The same pixel by pixel."""
    height, width = picture.shape
    result = np.empty((side, side))
    for i in range(side):
        for j in range(side):
            y = min(max((i + 0.5) * height / side - 0.5, 0), height - 1)
            x = min(max((j + 0.5) * width / side - 0.5, 0), width - 1)
            top, left = int(y), int(x)
            down, right = min(top + 1, height - 1), min(left + 1, width - 1)
            above = picture[top, left] * (1 - (x - left)) + picture[top, right] * (x - left)
            below = picture[down, left] * (1 - (x - left)) + picture[down, right] * (x - left)
            result[i, j] = above * (1 - (y - top)) + below * (y - top)
    return result


@pytest.mark.parametrize(("height", "width", "side"), [(8, 8, 28), (2, 3, 5), (5, 4, 2), (4, 4, 4)])
def test_pictures_are_resized_bilinearly_and_lie_between_0_and_1(height, width, side):
    rows = np.random.default_rng(0).integers(0, 17, (3, height * width))
    x = pictures(height, width, side, rows)
    assert x.shape == (3, side, side, 1)
    assert 0 <= x.min() <= x.max() <= 1
    for row, picture in zip(rows, x, strict=True):
        assert picture[..., 0] == pytest.approx(bilinear(row.reshape(height, width) / 16.0, side), abs=1e-6)


def test_records_are_no_pictures():
    with pytest.raises(ConfigError, match=r"data\.image"):
        encode_pictures(TABLE, config(COLUMNS))
