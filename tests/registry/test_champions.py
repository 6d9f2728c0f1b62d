"""The chain of champions: whatever is done to it, a reader sees the whole chain as signed or refuses."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.contracts.tensors import tensors_sha256, tensors_to_bytes
from fl_tasks.secagg.errors import (
    BadSignature,
    ChampionChainBroken,
    ChampionRolledBack,
    MalformedMessage,
    ModelMismatch,
)
from fl_tasks.stages import champions
from tests.registry.trained_run import AGENCIES, SCENARIO, a_model, weights


@pytest.fixture
def three(installation):
    """Two promotions and a rollback to the first."""
    for number in (1, 2):
        put(installation, installation.record(number))
    first = installation.record(1)
    put(installation, first.model_copy(update={"number": 3, "action": "rollback"}))
    return installation


def put(installation, body, *, name: int | None = None, key=None) -> None:
    exchange = installation.registry
    exchange.put(champions.model_name(body.model_sha256), tensors_to_bytes(weights(body.version)))
    exchange.put(champions.record_name(name or body.number), installation.signed(body, key))


def path(installation, number: int):
    return installation.home.registry(SCENARIO) / champions.record_name(number)


def accept(installation, agency=AGENCIES[0]):
    return champions.accept_champion(installation.spec("predict", 3, agency=agency))


def test_an_empty_chain_has_no_champion(installation):
    assert installation.chain() == []
    assert champions.current([]) is None
    with pytest.raises(champions.NoChampion):
        accept(installation)


def test_the_highest_number_is_champion_and_its_model_is_the_one_of_the_record(three):
    chain = three.chain()
    assert [(body.number, body.action, body.version) for body in chain] == [
        (1, "promote", 1),
        (2, "promote", 2),
        (3, "rollback", 1),
    ]
    body, model = accept(three)
    assert body == chain[-1] == champions.current(chain)
    assert tensors_sha256(model).hex() == body.model_sha256


def test_ten_records_are_read_by_number_and_not_by_name(installation):
    for number in range(1, 12):
        put(installation, installation.record(number, data_interval=installation.spec("gate", 1).data_interval))
    assert champions.current(installation.chain()).version == 11


def test_an_interval_is_compared_with_the_champion_that_it_could_know(three):
    two = [three.record(1), three.record(2)]
    end = {month: three.spec("gate", month).data_interval[1] for month in (1, 2, 3)}
    assert champions.as_of(two, end[1] - dt.timedelta(seconds=1)) is None
    assert [champions.as_of(two, end[month]).version for month in (1, 2, 3)] == [1, 2, 2]
    assert [champions.is_backfill(two, end[month]) for month in (1, 2, 3)] == [True, False, False]
    # The second month's model was champion, though it is not any more.
    assert champions.is_backfill(three.chain(), end[1])


def test_a_missing_record_breaks_the_chain(three):
    path(three, 2).unlink()
    with pytest.raises(ChampionChainBroken, match=r"champions/2\.json is missing, champions/3\.json is there"):
        three.chain()


def test_reordered_records_break_the_chain(three):
    one, two = path(three, 1), path(three, 2)
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    with pytest.raises(ChampionChainBroken, match="holds record 2"):
        three.chain()


def test_a_torn_record_is_refused(three):
    path(three, 2).write_bytes(path(three, 2).read_bytes()[:-40])
    with pytest.raises(MalformedMessage):
        three.chain()


def test_a_forged_or_altered_record_is_refused(three):
    put(three, three.record(4), key=Ed25519PrivateKey.generate())
    with pytest.raises(BadSignature):
        three.chain()
    path(three, 4).write_bytes(three.signed(three.record(4)).replace(b'"version":4', b'"version":5'))
    with pytest.raises(BadSignature):
        three.chain()


def test_a_strange_name_in_the_chain_is_refused(three):
    for name in ("champions/04.json", "champions/latest.json"):
        three.registry.put(name, path(three, 3).read_bytes())
        with pytest.raises(ChampionChainBroken, match="is no champion record"):
            three.chain()
        (three.home.registry(SCENARIO) / name).unlink()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenario": "traffic"}, "is of scenario traffic"),
        ({"version": 2}, "promotes version 2 a second time"),
        ({"action": "rollback"}, "restores version 4, which was not promoted"),
        ({"action": "rollback", "version": 2}, "restores version 2, which was not promoted so"),
    ],
)
def test_a_signed_record_that_contradicts_the_chain_is_refused(three, changes, message):
    put(three, three.record(4, **changes))
    with pytest.raises(ChampionChainBroken, match=message):
        three.chain()


def test_the_chain_of_another_scenario_is_refused(installation):
    put(installation, installation.record(1, scenario="traffic"))
    with pytest.raises(ChampionChainBroken, match="records of scenario traffic"):
        accept(installation)


def test_another_model_under_the_champions_name_is_refused(three):
    model = three.home.registry(SCENARIO) / champions.model_name(three.record(1).model_sha256)
    model.write_bytes(tensors_to_bytes(weights(9)))
    with pytest.raises(ModelMismatch):
        accept(three)


def test_an_agency_refuses_a_chain_that_hides_what_it_has_used(three):
    accept(three)
    hidden = path(three, 3).read_bytes()
    path(three, 3).unlink()
    with pytest.raises(ChampionRolledBack, match="ends at record 2, this agency has used 3"):
        accept(three)
    # Another agency has not seen it yet: it cannot know.
    assert accept(three, AGENCIES[1])[0].number == 2
    path(three, 3).write_bytes(hidden)
    assert accept(three)[0].number == 3


def test_an_agency_refuses_a_second_history_under_the_numbers_it_has_used(three):
    accept(three)
    path(three, 3).unlink()
    put(three, three.record(3))
    assert champions.current(three.chain()).version == 3
    with pytest.raises(ChampionRolledBack, match="signed two"):
        accept(three)
    put(three, three.record(4))
    with pytest.raises(ChampionRolledBack, match="signed two"):
        accept(three)


def test_an_agency_goes_along_with_a_longer_chain(three):
    accept(three)
    put(three, three.record(4))
    assert accept(three)[0].number == 4


def test_a_spoilt_memory_is_refused_rather_than_forgotten(three):
    accept(three)
    memory = champions.used_path(three.home.agency(AGENCIES[0]), SCENARIO)
    assert memory.stat().st_mode & 0o777 == 0o600
    memory.write_bytes(b"{}")
    with pytest.raises(ChampionRolledBack, match="not readable"):
        accept(three)


@pytest.mark.parametrize("change", [{"calendar": ("week",)}, {"step_minutes": 15}, {"input_shape": (13, 3)}])
def test_models_that_read_other_windows_are_not_scored_on_the_same_ones(change):
    model = a_model()
    assert champions.same_shapes(model, model.model_copy())
    assert not champions.same_shapes(model, model.model_copy(update=change))
