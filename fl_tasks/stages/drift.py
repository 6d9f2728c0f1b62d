"""drift: the coordinator counts the agencies whose data have moved: so many that a retraining starts early, or not."""

from __future__ import annotations

import logging

from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.roster import Roster
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.watch import WatchBody
from fl_tasks.secagg.errors import ProtocolError
from fl_tasks.secagg.records import read_record
from fl_tasks.stages.champions import current, own_chain
from fl_tasks.stages.context import exchange_of, exchange_refs, load_roster
from fl_tasks.stages.watch import LABEL, word_name

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Count today's words on today's champion; skipped unless more than the scenario's agencies have moved.

    Raises:
        RosterNotApproved: If there is no roster.
        ConfigError: If the scenario does not ask for a watch.
    """
    config = load_scenario(spec.federation, spec.scenario)
    if config.drift is None:
        raise ConfigError(f"scenario {spec.scenario}: field drift: it is not there; it says how many agencies count")
    words = _words(spec, load_roster(spec.places.coordinator, spec.scenario))
    moved = tuple(agency for agency, word in words.items() if word.moved)
    enough = len(moved) > config.drift.agencies
    log.info("stage=drift agencies=%d moved=%d", len(words), len(moved))
    return StageResult(
        stage="drift",
        status="done" if enough else "skipped",
        reason=f"the data of {len(moved)} agencies out of {len(words)} have moved, a retraining starts at "
        f"{config.drift.agencies + 1}{_told(words)}"[:500],
        members=moved,
        inputs=exchange_refs(*map(word_name, words)),
    )


def _words(spec: StageSpec, roster: Roster) -> dict[str, WatchBody]:
    """Read what the roster's agencies posted of this run and the champion; another's word, or one altered, is none."""
    champion = current(own_chain(spec))
    exchange = exchange_of(spec)
    found: dict[str, WatchBody] = {}
    for card in roster.members:
        data = exchange.find(word_name(card.name))
        if data is None or champion is None:
            continue
        try:
            word = read_record(data, bytes.fromhex(card.protocol_key), LABEL, WatchBody)
        except ProtocolError as error:
            log.warning("stage=drift agency=%s word refused: %s", card.name, error.code)
            continue
        if (word.run_id, word.agency, word.model_sha256) == (spec.run_id, card.name, champion.model_sha256):
            found[card.name] = word
    return found


def _told(words: dict[str, WatchBody]) -> str:
    scores = [f"{agency} {word.score:.2f}" for agency, word in words.items() if word.score is not None]
    return f"; index: {', '.join(scores)}" if scores else ""
