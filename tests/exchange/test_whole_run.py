"""A whole run through the federated server, each agency with a home of its own: the table admits all that a run needs.

The tests of this file share one run and follow its course, in this order.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.connection import exchange_key_path
from fl_tasks.contracts.report import Report
from fl_tasks.contracts.tensors import tensors_sha256, tensors_to_bytes
from fl_tasks.exchange.access import Space, check_read, named
from fl_tasks.exchange.admitted import admit
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.stages import champions, enrol
from fl_tasks.stages.context import exchange_of, load_key
from fl_tasks.stages.model_state import model_spec
from tests.exchange.federated_server import FederatedServer, now
from tests.exchange.split_run import SplitRun
from tests.stages import survey_run
from tests.stages.federation_run import AGENCIES, REPOSITORY, SCENARIO

STAND_IN = REPOSITORY / "tests" / "attacks" / "learning_stand_in.py"


@pytest.fixture(scope="module")
def run(server, tmp_path_factory) -> Iterator[SplitRun]:
    """One round, with a stand-in for the learning environment: what is learnt does not matter here."""
    folder = tmp_path_factory.mktemp("run")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{STAND_IN}" "$@"\n')
    python.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUILIU_FL_PYTHON", str(python))
        patch.setenv("HUILIU_HOME", str(server.home.root))
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        run = SplitRun(folder, server, rounds=1)
        run.install()
        yield run


def test_every_stage_of_every_agency_goes_through_the_server(run, server):
    run.prepare(AGENCIES)
    assert run.stage("cohort").members == AGENCIES
    run.set_up(AGENCIES)
    run.each("train", AGENCIES, 1)
    assert run.finish_round(AGENCIES, 1).finished
    run.each("evaluate", AGENCIES)
    for stage in ("gate", "promote", "report"):
        run.stage(stage)
    assert not run.stage("verdict").failed
    report = Report.model_validate_json((run.home.report(run.run_id) / "report.json").read_bytes())
    assert report.cohort == AGENCIES
    assert "federation refused" not in server.log


def test_an_agency_gets_the_champion_through_the_server(run):
    spec, weights = run.spec("rollback"), {"w": np.zeros(3, np.float32)}
    sha256 = tensors_sha256(weights).hex()
    champions.champions_exchange(spec).put(champions.model_name(sha256), tensors_to_bytes(weights))
    body = ChampionBody(
        number=1,
        action="promote",
        scenario=SCENARIO,
        version=1,
        model_sha256=sha256,
        model=model_spec(run.config, None),
        run_id=run.run_id,
        data_interval=spec.data_interval,
        decided_at=now(),
    )
    champions.append(spec, body)
    accepted, found = champions.accept_champion(run.spec("predict", AGENCIES[0]))
    assert (accepted, tensors_sha256(found).hex()) == (body, sha256)


def test_an_agency_has_no_exchange_of_its_own(run):
    for agency in AGENCIES:
        assert sorted(path.name for path in run.home_of(agency).root.iterdir()) == ["agencies"]


def test_every_name_that_is_left_is_in_the_table(run):
    spaces = [Space("runs", run.run_id), Space("rosters", SCENARIO), Space("registry", SCENARIO)]
    for space in spaces:
        left = FolderExchange(space.folder(run.home)).names()
        assert left
        for name in left:
            check_read(space, name, None)
    found = {named(spaces[0], name).rule.pattern for name in FolderExchange(run.exchange).names()}
    assert {"r/<round>/up/<agency>", "head/<agency>/<number>", "final/model.npz", "evaluation/<agency>"} <= found


def test_an_agency_sees_of_a_run_what_is_addressed_to_it_alone(run):
    agency, *others = AGENCIES
    seen = exchange_of(run.spec("evaluate", agency)).names()
    for other in others:
        assert f"setup/shares/{other}/{agency}" in seen
        hidden = (f"r/1/up/{other}", f"r/1/reveal/{other}", f"setup/shares/{agency}/{other}", f"checks/{other}")
        assert not set(hidden) & set(seen)
    assert f"r/1/up/{agency}" not in seen


def test_the_report_lists_what_left_each_agency_as_it_does_in_one_home(run):
    report = json.loads((run.home.report(run.run_id) / "report.json").read_bytes())
    for agency in AGENCIES:
        assert f"r/1/up/{agency}" in {sent["file"] for sent in report["egress"][agency]}


def test_a_survey_goes_through_the_server(tmp_path):
    run = survey_run.SurveyRun(tmp_path).install()
    server = FederatedServer(tmp_path / "server", run.home.root).start()
    try:
        for agency in survey_run.AGENCIES:
            folder = run.home.agency(agency)
            admit(run.home, enrol.make_card(folder, agency), expires=None, now=now())
            server.connect(folder, load_key(exchange_key_path(folder)))
        run.survey()
        run.validated()
        assert "federation refused" not in server.log
    finally:
        server.stop()
    space = Space("runs", f"survey.{run.run_id}")
    left = FolderExchange(space.folder(run.home)).names()
    assert {"request", "preparation"} <= set(left)
    for name in left:
        check_read(space, name, None)
