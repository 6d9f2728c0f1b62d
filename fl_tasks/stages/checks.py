"""Each agency's own word on its data, for the cohort: posted once it passes, or with the reason if it fails."""

from __future__ import annotations

import hashlib

from fl_tasks.contracts.base import Contract
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.roster import CheckBody, Roster
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.secagg.errors import ProtocolError
from fl_tasks.secagg.records import read_record, sign_record
from fl_tasks.stages.context import exchange_of, folder_of, load_key, protocol_key_path

DATA_STAGES = ("ingest", "standardize", "validate")


def post_check(spec: StageSpec, error: FLError | None) -> None:
    """Sign and post whether the agency's data passed; a failure names the error, never a value."""
    assert spec.agency is not None  # only an agency's data stages post
    reason = "" if error is None else f"{spec.stage}: {error.code}: {error}"[:500]
    body = CheckBody(run_id=spec.run_id, agency=spec.agency, passed=error is None, reason=reason)
    data = sign_record(load_key(protocol_key_path(folder_of(spec))), "check", body)
    # A failure may be mended and tried again under the same run: its name holds its content's hash.
    suffix = "" if error is None else f".failed-{hashlib.sha256(data).hexdigest()[:12]}"
    exchange_of(spec).put(f"checks/{spec.agency}{suffix}", data)


class Verdicts(Contract):
    """Who passed the data checks, and why the others did not."""

    passed: tuple[str, ...]
    excluded: dict[str, str]


def read_checks(exchange: FolderExchange, roster: Roster, run_id: str, wanted: tuple[str, ...]) -> Verdicts:
    """Read what the roster's agencies posted; an agency without a word is left out as absent."""
    passed: list[str] = []
    excluded: dict[str, str] = {}
    for card in roster.members:
        agency, public = card.name, bytes.fromhex(card.protocol_key)
        if agency not in wanted:
            excluded[agency] = "left out by the run's parameters"
            continue
        excluded[agency] = "absent: no word on its data"
        for name in exchange.names("checks"):
            if name.removeprefix("checks/").partition(".")[0] != agency:
                continue
            try:
                check = read_record(exchange.get(name), public, "check", CheckBody)
            except ProtocolError as error:
                excluded[agency] = f"its word on its data is not valid: {error.code}"
                continue
            if check.run_id != run_id or check.agency != agency:
                excluded[agency] = "its word on its data is of another run or agency"
            elif check.passed:
                passed.append(agency)
                del excluded[agency]
                break
            else:
                excluded[agency] = check.reason
    return Verdicts(passed=tuple(passed), excluded=excluded)
