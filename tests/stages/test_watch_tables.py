"""watch of a scenario that classifies rows: the column that has moved most decides."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.data import Accepted, accepted_path, raw_path
from fl_tasks.contracts.watch import WatchBody
from fl_tasks.data.tables import quality
from fl_tasks.data.tables.table import Table, texts, write_table
from fl_tasks.stages import watch
from fl_tasks.stages.context import StageSkipped, exchange_of
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, load_domains
from tests.stages.classifier_session import AGENCY, INTERVAL, OURS, SCENARIO, Persons, Session

RUN = f"watch.{SCENARIO}__scheduled__2024-06-30"
LIMIT = 0.25


def table_of(persons: Persons) -> Table:
    sex = texts([("female", "male")[place] for place in persons.sex])
    return Table({"age": persons.age, "income": persons.income, "sex": sex})


@pytest.fixture
def session(tmp_path):
    """One whose champion was trained on the rows of 400 persons."""
    made = Session(tmp_path).install()
    path = made.federation / "scenarios" / f"{SCENARIO}.yaml"
    drift = {"cron": "@daily", "limit": LIMIT, "agencies": 1}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"drift": drift}))
    made.promote(OURS)
    config, folder = made.config.table, hierarchies_folder(made.federation, SCENARIO)
    domains = {name: tuple(domain.values) for name, domain in load_domains(folder, config).items()}
    reference = quality.distributions(table_of(Persons(400)), config, domains)
    assert set(reference) == {"age", "income", "sex"}
    keep(made, Accepted(interval_end=INTERVAL[0], months={}, reference=reference))
    return made


def keep(session, accepted: Accepted) -> None:
    path = accepted_path(session.home.agency(AGENCY), SCENARIO)
    write_atomic(path, accepted.model_dump_json().encode())


def word_of(session, persons: Persons) -> WatchBody:
    spec = session.spec("watch", run_id=RUN)
    write_table(raw_path(spec.folder), table_of(persons))
    watch.run(spec)
    return WatchBody.model_validate(json.loads(exchange_of(spec).get(watch.word_name(AGENCY)))["body"])


def test_rows_of_the_same_kind_have_not_moved(session):
    word = word_of(session, Persons(400, seed=4))
    assert not word.moved
    assert word.score < LIMIT


@pytest.mark.parametrize("column", ["age", "income", "sex"])
def test_one_column_that_has_moved_is_enough(session, column):
    persons = Persons(400, seed=4)
    moved = {"age": persons.age * 0.3 + 60.0, "income": persons.income * 3.0, "sex": np.zeros_like(persons.sex)}
    setattr(persons, column, moved[column])
    assert word_of(session, persons).moved


def test_rows_of_which_no_column_was_watched_are_not_judged(session):
    keep(session, Accepted(interval_end=INTERVAL[0], months={}))
    with pytest.raises(StageSkipped, match="no record of its data"):
        word_of(session, Persons(400))
