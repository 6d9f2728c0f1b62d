"""The table of the exchange's names: every name that a party uses is in it, with one writer and its readers."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from fl_tasks.exchange.access import RULES, Space, check_read, check_write, may_read, named
from fl_tasks.exchange.errors import NameRefused, NotYours, TooLarge
from fl_tasks.secagg import names
from fl_tasks.stages import champions
from fl_tasks.stages.model_state import FINAL_MODEL, FINAL_WEIGHTS
from fl_tasks.stages.survey.published import PREPARATION, REQUEST

RUN = Space("runs", "traffic__manual__1")
ROSTERS, REGISTRY = Space("rosters", "traffic"), Space("registry", "traffic")
DOCUMENT = Path(__file__).parents[2] / "docs" / "federated-server.md"


def protocol_names() -> list[str]:
    """Every name that the protocol has, of agency east, holder west and round 2."""
    values = {"agency": "east", "dealer": "east", "holder": "west", "round_": 2, "number": 7}
    functions = [function for function in vars(names).values() if inspect.isfunction(function)]
    calls = ({name: values[name] for name in inspect.signature(function).parameters} for function in functions)
    made = [function(**call) for function, call in zip(functions, calls, strict=True)]
    return made + [value for name, value in vars(names).items() if name.isupper()]


@pytest.mark.parametrize("name", [*protocol_names(), FINAL_MODEL, FINAL_WEIGHTS, REQUEST, PREPARATION])
def test_every_name_of_a_run_is_in_the_table_for_its_writer_alone(name):
    writer = "east" if "east" in name.split("/") else None
    check_write(RUN, name, writer, 1)
    for other in {"east", "west", None} - {writer}:
        with pytest.raises(NotYours):
            check_write(RUN, name, other, 1)


def test_the_registrys_names_are_in_the_table():
    for name in (champions.record_name(1), champions.model_name("0" * 64)):
        check_write(REGISTRY, name, None, 1)
        check_read(REGISTRY, name, "east")
        with pytest.raises(NotYours):
            check_write(REGISTRY, name, "east", 1)


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        (names.keys("east"), {"east", "west", "north"}),
        (names.shares("east", "west"), {"west"}),
        (names.upload(1, "east"), set()),
        (names.reveal(1, "east"), set()),
        (names.ack(1, "east"), {"east", "west", "north"}),
        (names.head("east", 3), {"east"}),
        ("checks/east", set()),
        ("evaluation/east", {"east"}),
        (names.weights(1), {"east", "west", "north"}),
    ],
)
def test_a_message_is_read_by_whom_it_is_for(name, readers):
    agencies = ("east", "west", "north")
    assert {agency for agency in agencies if may_read(named(RUN, name), agency)} == readers
    assert may_read(named(RUN, name), None)


def test_no_name_falls_under_two_rules():
    for name in [*protocol_names(), "checks/east.failed-0123456789ab", "cards/east.json", "cards/east-2.json"]:
        for space in (RUN, ROSTERS, REGISTRY):
            found = [rule for rule in RULES if rule.kind == space.kind and rule.expression.fullmatch(name)]
            assert len(found) <= 1


def test_a_length_is_held_against_the_name_before_the_message_comes():
    most = named(RUN, "checks/east").rule.most
    check_write(RUN, "checks/east", "east", most)
    with pytest.raises(TooLarge, match=rf"may have {most} bytes, announced are {most + 1}"):
        check_write(RUN, "checks/east", "east", most + 1)


@pytest.mark.parametrize(
    "name", ["r/01/up/east", "r/1/up/EAST", "up/east", "r/1/up/east/x", "head/east/007", "../x", ""]
)
def test_other_names_are_refused(name):
    with pytest.raises(NameRefused):
        named(RUN, name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("runs", "traffic"), ("runs", "../x__y"), ("runs", "Traffic__x"), ("rosters", "a/b"), ("keys", "traffic"),
     ("runs", "traffic__" + "x" * 200), ("rosters", ".uploads")],
)  # fmt: skip
def test_a_space_is_of_a_run_or_a_scenario(kind, name):
    with pytest.raises(NameRefused, match="no space of the exchange"):
        Space(kind, name)


def test_the_document_shows_the_table_as_it_is():
    rows = re.findall(
        r"^\| (runs|rosters|registry) \| `([^`]+)` \| (.+?) \| (.+?) \| (.+?) \|", DOCUMENT.read_text(), re.M
    )
    units = {2**20: "1 MiB", 16 * 2**20: "16 MiB", 2**31: "2 GiB"}
    assert rows == [
        (rule.kind, rule.pattern, "the agency" if rule.by_agency else "coordinator", rule.readers, units[rule.most])
        for rule in RULES
    ]
