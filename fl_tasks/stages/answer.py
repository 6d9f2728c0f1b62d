"""What was decided on a run's plan at an agency, told to the coordinator: by its policy at once, by its officer later.

A decision is told, and nothing more: what opens the data is held against the officer's own records at every stage.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fl_tasks.approvals.check import read_card
from fl_tasks.approvals.records import decisions_on, find_record
from fl_tasks.contracts.base import Contract, Sha256, write_atomic
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.plan import ANSWERS, Answer, Revocation
from fl_tasks.contracts.roster import Roster
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.errors import ExchangeConflict
from fl_tasks.exchange.open import open_exchange
from fl_tasks.exchange.store import Exchange
from fl_tasks.secagg.errors import ProtocolError
from fl_tasks.secagg.records import read_record, sign_record
from fl_tasks.stages.context import load_key, protocol_key_path

_LABEL = "answer"
_MOST_DAYS = 31
"""Longer than any run waits for an officer."""

log = logging.getLogger(__name__)


class Question(Contract):
    """A plan that an agency's officer has yet to decide on; question.json in the run's folder."""

    plan_sha256: Sha256


def ask(folder: Path, plan_sha256: str) -> None:
    """Note in an agency's folder of a run that its officer's decision is to be told."""
    if not _told(folder).exists():
        write_atomic(_question(folder), Question(plan_sha256=plan_sha256).model_dump_json().encode())


def open_questions(home: Home, agency: str) -> Iterator[Path]:
    """Yield the run folders of an agency whose question nobody has answered, the old ones aside."""
    since = time.time() - _MOST_DAYS * 24 * 3600
    for path in home.agency(agency).glob("runs/*/question.json"):
        with suppress(FileNotFoundError):  # the run was removed just now
            if not _told(path.parent).exists() and path.stat().st_mtime > since:
                yield path.parent


def tell_decision(home: Home, agency: str, folder: Path) -> None:
    """Tell the coordinator what an agency's officer has decided on a run's plan, if anything by now.

    Args:
        home: The agency's installation.
        agency: Whose officer.
        folder: The agency's working folder of the run, in which its question lies.

    Raises:
        ApprovalRefused: If the officer's card or records are not as they should be.
        ExchangeError: If the answer cannot be posted.
    """
    card = read_card(home.agency(agency), agency)
    asked = Question.model_validate_json(_question(folder).read_bytes())
    officer, public = Path(card.folder), bytes.fromhex(card.public_key)
    made = decisions_on(officer, folder.name, public)
    on_this = [one for one in made if one.agency == agency and one.plan_sha256 == asked.plan_sha256]
    if not on_this:
        return
    last = on_this[-1]
    taken_back = [id_ for id_ in (last.id, last.standing) if id_ and find_record(officer, Revocation, id_, public)]
    answer = Answer(
        run_id=last.run_id,
        agency=agency,
        plan_sha256=last.plan_sha256,
        verdict="rejected" if taken_back else last.verdict,
        by="officer" if last.standing is None else "standing approval",
        decision=last.id,
        trial=card.trial,
    )
    tell(home, answer)
    write_atomic(_told(folder), b"")


def tell(home: Home, answer: Answer) -> None:
    """Sign and post an answer. The first one stands: what is decided later is seen when data are to be opened."""
    data = sign_record(load_key(protocol_key_path(home.agency(answer.agency))), _LABEL, answer)
    try:
        open_exchange(home, answer.agency, Space("runs", answer.run_id)).put(f"{ANSWERS}/{answer.agency}", data)
    except ExchangeConflict:
        log.warning("agency=%s run=%s another answer was told before; it stands", answer.agency, answer.run_id)


def read_answers(exchange: Exchange, roster: Roster, run_id: str) -> dict[str, Answer]:
    """Return what the roster's agencies told of a run; a message that is not the agency's own is none."""
    found = {}
    public = {card.name: bytes.fromhex(card.protocol_key) for card in roster.members}
    for name in exchange.names(ANSWERS):
        agency = name.removeprefix(f"{ANSWERS}/")
        if agency not in public:
            continue
        try:
            answer = read_record(exchange.get(name), public[agency], _LABEL, Answer)
        except ProtocolError as error:
            log.warning("agency=%s its answer is not valid: %s", agency, error.code)
            continue
        if (answer.agency, answer.run_id) == (agency, run_id):
            found[agency] = answer
    return found


def _question(folder: Path) -> Path:
    return folder / "question.json"


def _told(folder: Path) -> Path:
    return folder / "answered"
