"""Gate, promotion and rollback as the scheduler runs them: real keys, chain, exchange and MLflow on SQLite."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from fl_tasks.contracts.errors import MissingInput, QuorumMissing
from fl_tasks.contracts.tensors import tensors_sha256, tensors_to_bytes
from fl_tasks.registry.mlflow_store import RegistryConflict, RegistryUnavailable, open_store
from fl_tasks.stages import champions
from fl_tasks.stages.gate import gate_path, read_gate
from fl_tasks.stages.rollback import AlreadyChampion, NoPredecessor, UnknownVersion
from tests.registry.trained_run import AGENCIES, SCENARIO, Installation, evaluation, weights


@pytest.fixture(scope="module")
def empty_mlflow(tmp_path_factory) -> Path:
    """MLflow's empty database, made once: its tables take seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    with open_store(folder, SCENARIO) as store:
        store.repair([], lambda _: b"")
    return folder / "mlflow.db"


@pytest.fixture
def installation(tmp_path, monkeypatch, empty_mlflow) -> Installation:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = Installation(tmp_path).install()
    made.home.mlflow.mkdir(parents=True)
    shutil.copy(empty_mlflow, made.home.mlflow)
    return made


def everywhere(federated: float, **others: float):
    return {agency: evaluation(federated, **others) for agency in AGENCIES}


def client(installation) -> MlflowClient:
    uri = f"sqlite:///{installation.home.mlflow / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def alias(installation, name: str) -> tuple[int, str]:
    found = client(installation).get_model_version_by_alias(SCENARIO, name)
    return int(found.version), found.tags["huiliu.model_sha256"]


def promoted(installation, month: int) -> int:
    """A month whose model is better than all before it."""
    installation.train(month, month, everywhere(1.0 / month, persistence=2.0, champion=2.0))
    installation.stage("gate", month)
    version = installation.stage("promote", month).version
    assert version is not None
    return version


def held(installation, month: int, **options) -> str:
    installation.train(month, month, everywhere(3.0, persistence=2.0, champion=2.0), **options)
    return installation.stage("gate", month, options.get("run")).reason


def history(installation) -> list[tuple[str, int]]:
    return [(body.action, body.version) for body in installation.chain()]


def test_the_first_model_that_beats_persistence_is_promoted_once(installation):
    sha256 = installation.train(1, 1, everywhere(0.8, persistence=1.0))
    gate = installation.stage("gate", 1)
    assert gate.reason.startswith("promoted: there is no champion as of 2012-02-01: better than persistence at 4 of 4")
    assert history(installation) == []
    with pytest.raises(Exception, match="champion"):
        alias(installation, "champion")
    assert alias(installation, "challenger") == (1, sha256)

    first = installation.stage("promote", 1)
    assert (first.status, first.version, first.digests) == ("done", 1, {"model": sha256})
    assert alias(installation, "champion") == (1, sha256)
    again = installation.stage("promote", 1)
    assert (again.version, again.digests) == (1, {"model": sha256})
    assert history(installation) == [("promote", 1)]
    body = installation.chain()[0]
    assert body.data_interval == installation.spec("promote", 1).data_interval
    assert champions.load_champion(installation.registry, body).keys() == weights(1).keys()


def test_the_gate_decides_once(installation):
    installation.train(1, 1, everywhere(0.8, persistence=1.0))
    first = installation.stage("gate", 1)
    kept = gate_path(installation.spec("gate", 1)).read_bytes()
    # Had it been decided anew, the model would be the champion already.
    installation.stage("promote", 1)
    again = installation.stage("gate", 1)
    assert (again.reason, again.digests) == (first.reason, first.digests)
    assert gate_path(installation.spec("gate", 1)).read_bytes() == kept
    assert len(client(installation).search_model_versions(f"name = '{SCENARIO}'")) == 1


def test_a_worse_challenger_is_held_and_the_champion_stays(installation):
    promoted(installation, 1)
    assert held(installation, 2).startswith("held: better than version 1 at 0 of 4 agencies, 3 needed; worse by")
    assert read_gate(installation.spec("gate", 2)).reference == "version 1"
    skipped = installation.stage("promote", 2)
    assert (skipped.status, skipped.version) == ("skipped", None)
    assert "worse by more than 2 % at district_northeast" in skipped.reason
    assert history(installation) == [("promote", 1)]
    assert alias(installation, "champion")[0] == 1
    assert alias(installation, "challenger")[0] == 2


def test_a_better_challenger_takes_the_champions_place(installation):
    assert [promoted(installation, month) for month in (1, 2)] == [1, 2]
    assert history(installation) == [("promote", 1), ("promote", 2)]
    assert alias(installation, "champion")[0] == 2


def test_the_same_model_is_held(installation):
    promoted(installation, 1)
    installation.train(2, 1, everywhere(0.1, persistence=1.0, champion=0.2))
    assert installation.stage("gate", 2).reason == "held: the model is the champion already (version 1)"


def test_a_backfill_never_moves_todays_champion(installation):
    for month in (1, 3):
        promoted(installation, month)
    installation.train(2, 22, everywhere(0.01, persistence=1.0, champion=1.0), run="backfill__2012-02")
    gate = installation.stage("gate", 2, "backfill__2012-02")
    assert "held: a backfill never moves today's champion, which stays" in gate.reason
    assert "better than version 1 at 4 of 4" in gate.reason, "it is compared with the champion as of then"
    report = read_gate(installation.spec("gate", 2, "backfill__2012-02"))
    assert (report.backfill, report.version) == (True, 3)
    assert installation.stage("promote", 2, "backfill__2012-02").status == "skipped"
    assert history(installation) == [("promote", 1), ("promote", 2)]
    assert [alias(installation, name)[0] for name in ("champion", "challenger")] == [2, 2]


def test_a_month_before_one_that_was_held_is_a_backfill_too(installation):
    promoted(installation, 1)
    held(installation, 3)
    installation.train(2, 22, everywhere(0.01, persistence=1.0, champion=1.0), run="backfill__2012-02")
    assert "held: a backfill never moves" in installation.stage("gate", 2, "backfill__2012-02").reason
    assert installation.stage("promote", 2, "backfill__2012-02").status == "skipped"
    assert history(installation) == [("promote", 1)]


def test_a_champion_of_other_shapes_is_not_compared_with(installation):
    old = installation.record(1)
    learning = old.model.learning.model_copy(update={"units": 8})
    old = old.model_copy(update={"model": old.model.model_copy(update={"learning": learning})})
    installation.registry.put(champions.model_name(old.model_sha256), tensors_to_bytes(weights(1)))
    installation.registry.put(champions.record_name(1), installation.signed(old))
    installation.train(2, 2, everywhere(0.8, persistence=1.0), champion=None)
    reason = installation.stage("gate", 2).reason
    assert reason.startswith("promoted: version 1, the champion, has other shapes and cannot be scored: better than")
    assert installation.stage("promote", 2).version == 2


def test_a_champion_that_changed_since_the_cohort_is_not_judged_by_others_scores(installation):
    promoted(installation, 1)
    for scored in (None, "ab" * 32):
        run = f"manual__{scored}"
        installation.train(2, 2, everywhere(0.1, persistence=1.0, champion=1.0), champion=scored, run=run)
        assert "the champion changed during the run" in installation.stage("gate", 2, run).reason
        assert read_gate(installation.spec("gate", 2, run)).decision == "held"


def test_a_decision_is_outdated_once_the_chain_has_moved(installation):
    for month in (1, 2):
        promoted(installation, month)
    installation.train(3, 3, everywhere(0.1, persistence=1.0, champion=1.0))
    installation.stage("gate", 3)
    installation.stage("rollback", 3, "manual__rollback")
    with pytest.raises(champions.ChampionMoved, match="champion record 3 is taken"):
        installation.stage("promote", 3)
    assert history(installation) == [("promote", 1), ("promote", 2), ("rollback", 1)]


def test_an_unfinished_run_does_not_reach_the_gate(installation):
    installation.train(1, 1, everywhere(0.8, persistence=1.0), complete=False)
    with pytest.raises(QuorumMissing, match="its rounds did not complete"):
        installation.stage("gate", 1)
    with pytest.raises(MissingInput, match="the gate has not decided"):
        installation.stage("promote", 1)
    assert client(installation).search_registered_models() == []


def test_too_few_evaluations_of_this_model_decide_nothing(installation):
    few = dict(list(everywhere(0.8, persistence=1.0).items())[:2])
    installation.train(1, 1, few)
    with pytest.raises(QuorumMissing, match="2 agencies evaluated the model, 3 are needed"):
        installation.stage("gate", 1)
    installation.train(2, 2, everywhere(0.8, persistence=1.0), judged=9)
    with pytest.raises(QuorumMissing, match="0 agencies evaluated the model"):
        installation.stage("gate", 2)
    spec = installation.spec("gate", 3)
    installation.train(3, 3, everywhere(0.8, persistence=1.0))
    for agency in AGENCIES[:2]:
        sent = installation.home.exchange(spec.run_id) / "evaluation" / agency
        sent.write_bytes(sent.read_bytes().replace(b'"scaled_rmse":0.8', b'"scaled_rmse":0.1'))
    with pytest.raises(QuorumMissing, match="2 agencies evaluated the model"):
        installation.stage("gate", 3)


def test_a_rollback_restores_the_predecessor_once_and_numbers_go_on(installation):
    promoted(installation, 1)
    held(installation, 2)
    assert promoted(installation, 3) == 3
    restored = installation.stage("rollback", 4, "manual__rollback")
    assert (restored.version, restored.reason) == (1, "version 1 is champion again, in place of version 3")
    assert restored.digests == {"model": tensors_sha256(weights(1)).hex()}
    assert installation.stage("rollback", 4, "manual__rollback").version == 1
    assert history(installation) == [("promote", 1), ("promote", 3), ("rollback", 1)]
    body = installation.chain()[-1]
    assert (body.number, body.run_id) == (3, f"{SCENARIO}__scheduled__2012-01")
    assert alias(installation, "champion") == (1, tensors_sha256(weights(1)).hex())
    assert promoted(installation, 4) == 4
    # Version 3 was champion before the rollback; who was before version 4 is version 1.
    assert installation.stage("rollback", 5, "manual__again").version == 1
    assert installation.stage("rollback", 5, "manual__named", version=3).version == 3
    assert promoted(installation, 5) == 5
    # Twice in a row goes further back, never to the version that was just rolled back.
    assert [installation.stage("rollback", 6, f"manual__{step}").version for step in ("one", "two")] == [3, 1]


def test_a_rollback_that_cannot_be_says_why(installation):
    with pytest.raises(champions.NoChampion):
        installation.stage("rollback", 1)
    promoted(installation, 1)
    held(installation, 2)
    with pytest.raises(NoPredecessor, match="version 1 is champion and had no predecessor"):
        installation.stage("rollback", 3)
    with pytest.raises(UnknownVersion, match=r"version 2 .* never was champion; these were: 1"):
        installation.stage("rollback", 3, version=2)
    with pytest.raises(AlreadyChampion, match="version 1"):
        installation.stage("rollback", 3, version=1)
    assert history(installation) == [("promote", 1)]


def test_a_promotion_stands_without_mlflow_and_the_retry_repairs_it(installation, monkeypatch):
    promoted(installation, 1)
    installation.train(2, 2, everywhere(0.1, persistence=1.0, champion=1.0))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryUnavailable) as caught:
        installation.stage("gate", 2)
    assert caught.value.retryable
    assert read_gate(installation.spec("gate", 2)) is None, "without MLflow nothing is decided"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    installation.stage("gate", 2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(RegistryUnavailable):
        installation.stage("promote", 2)
    assert history(installation) == [("promote", 1), ("promote", 2)]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert alias(installation, "champion")[0] == 1
    assert installation.stage("promote", 2).version == 2
    assert alias(installation, "champion")[0] == 2
    assert history(installation) == [("promote", 1), ("promote", 2)]


def test_an_mlflow_that_was_lost_is_made_again_under_the_same_numbers(installation, tmp_path):
    promoted(installation, 1)
    held(installation, 2)
    promoted(installation, 3)
    shutil.rmtree(installation.home.mlflow)
    installation.train(4, 4, everywhere(0.1, persistence=1.0, champion=1.0))
    # In processes of their own, as the scheduler does: this one still holds the file that was removed.
    for stage in ("gate", "promote"):
        assert installation.command(stage, 4).returncode == 0
    assert history(installation) == [("promote", 1), ("promote", 3), ("promote", 4)]
    uri = f"sqlite:///{shutil.copy(installation.home.mlflow / 'mlflow.db', tmp_path / 'copy.db')}"
    found = MlflowClient(tracking_uri=uri, registry_uri=uri)
    versions = {int(v.version): v.tags["huiliu.model_sha256"] for v in found.search_model_versions()}
    assert versions == {number: tensors_sha256(weights(number)).hex() for number in (1, 3, 4)}
    assert int(found.get_model_version_by_alias(SCENARIO, "champion").version) == 4


def test_a_champion_deleted_in_mlflow_gets_a_new_number_there(installation):
    promoted(installation, 1)
    promoted(installation, 2)
    client(installation).delete_model_version(SCENARIO, "1")
    assert installation.stage("rollback", 3).version == 1
    assert alias(installation, "champion") == (3, tensors_sha256(weights(1)).hex())


def test_an_mlflow_of_another_installation_is_refused(installation):
    promoted(installation, 1)
    client(installation).set_model_version_tag(SCENARIO, "1", "huiliu.model_sha256", "ab" * 32)
    installation.train(2, 2, everywhere(0.1, persistence=1.0, champion=1.0))
    with pytest.raises(RegistryConflict, match="version 1 is not the one that was promoted"):
        installation.stage("gate", 2)
