"""Each agency's own word on its data, for the cohort: posted once it passes, or with the reason if it fails."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator

from fl_tasks.approvals.errors import ApprovalRefused
from fl_tasks.contracts.anonymize import PrivacyReport
from fl_tasks.contracts.base import Contract
from fl_tasks.contracts.data import (
    SMALL_CELL,
    Deidentified,
    Ingested,
    QualityReport,
    deidentified_record_path,
    ingested_path,
    privacy_path,
    quality_path,
)
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.report import AgencyPrivacy, AgencyQuality
from fl_tasks.contracts.roster import Card, CheckBody, Roster
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.data.pseudonymize import looks_like
from fl_tasks.exchange.store import Exchange
from fl_tasks.secagg.errors import ProtocolError
from fl_tasks.secagg.records import read_record, sign_record
from fl_tasks.stages.context import exchange_of, folder_of, load_key, protocol_key_path

DATA_STAGES = ("ingest", "anonymize", "standardize", "validate")

# How messages quote what is not seen: no-break and ideographic spaces, zero widths and the like.
_UNSEEN = re.compile(r"\\(?:[tnr]|x[0-9a-f]{2}|u[0-9a-f]{4})")


def withhold_identifiers(spec: StageSpec, error: FLError) -> None:
    """Take the text from a data stage's error if it holds a direct identifier; its class stays.

    Messages quote names of columns, which nobody has looked at before anonymize has. They go to the exchange, the
    scheduler's logs and the notices.
    """
    text = str(error)
    if looks_like([text, _UNSEEN.sub("", text)]):
        error.args = (
            f"a column's name looks like an identifier, so that the message of {spec.stage} is withheld; at the "
            f"agency, `fl validate --scenario {spec.scenario} --agency {spec.agency}` shows it",
        )


def post_check(spec: StageSpec, error: FLError | None) -> None:
    """Sign and post whether the agency's data passed; a failure names the error, never a value.

    With the last stage's word go the names of the checks that warned, ingest's notes, and what became of identifiers
    and small cells; a count that is itself a small cell stays at home.
    """
    assert spec.agency is not None  # only an agency's data stages post
    whole = spec.stage == DATA_STAGES[-1]  # before it, an earlier try's files may lie there
    body = CheckBody(
        run_id=spec.run_id,
        agency=spec.agency,
        passed=error is None,
        reason="" if error is None else _reason(spec, error),
        quality=_quality(spec) if whole else AgencyQuality(),
        privacy=_privacy(spec) if whole else AgencyPrivacy(),
    )
    data = sign_record(load_key(protocol_key_path(folder_of(spec))), "check", body)
    # A failure may be mended and tried again under the same run: its name holds its content's hash.
    suffix = "" if error is None else f".failed-{hashlib.sha256(data).hexdigest()[:12]}"
    exchange_of(spec).put(f"checks/{spec.agency}{suffix}", data)


def _reason(spec: StageSpec, error: FLError) -> str:
    text = error.told if isinstance(error, ApprovalRefused) else str(error)
    return f"{spec.stage}: {error.code}: {text}"[:500]


def _quality(spec: StageSpec) -> AgencyQuality:
    quality, ingested = quality_path(spec.folder), ingested_path(spec.folder)
    warned = QualityReport.model_validate_json(quality.read_bytes()).failed("warning") if quality.exists() else ()
    notes = Ingested.model_validate_json(ingested.read_bytes()).notes if ingested.exists() else ()
    return AgencyQuality(warnings=tuple(check.name for check in warned), notes=notes)


def _privacy(spec: StageSpec) -> AgencyPrivacy:
    path = deidentified_record_path(spec.folder)
    if not path.exists():
        return AgencyPrivacy()
    done = Deidentified.model_validate_json(path.read_bytes())
    release = privacy_path(spec.folder)
    if not release.exists():
        return AgencyPrivacy(identifiers=done.identifiers, suppressed=_no_small_cell(done.suppressed))
    report = PrivacyReport.model_validate_json(release.read_bytes())
    told = AgencyPrivacy(
        k=report.k,
        l=report.l,
        t=report.t,
        suppressed=report.suppressed,
        suppressed_share=report.suppressed / report.rows_in,
        identifiers=done.identifiers,
        ncp=report.ncp,
        discernibility=report.discernibility,
        risk_max=report.risk_max,
        risk_average=report.risk_average,
        statement=report.statement,
    )
    if _no_small_cell(report.suppressed) is not None:
        return told
    # Exact quotients tell what they were divided by, the released rows; beside the rows that came in, the small cell.
    rounded = {
        "t": None if report.t is None else math.ceil(report.t * 100) / 100,
        "ncp": round(report.ncp, 1),
        "risk_average": round(report.risk_average, 2),
    }
    withheld = dict.fromkeys(("suppressed", "suppressed_share", "discernibility"))
    return told.model_copy(update={**rounded, **withheld})


def _no_small_cell(count: int | None) -> int | None:
    return None if count is None or 0 < count < SMALL_CELL else count


def read_refusals(exchange: Exchange, roster: Roster, run_id: str) -> dict[str, str]:
    """Return what agencies said when they refused to go on after their data had passed."""
    found: dict[str, str] = {}
    for card in roster.members:
        for word in _words(exchange, card, run_id):
            if isinstance(word, CheckBody) and not word.passed and _is_late(word):
                found[card.name] = word.reason
    return found


def _is_late(check: CheckBody) -> bool:
    return check.reason.partition(":")[0] not in ("receive", *DATA_STAGES)


class Verdicts(Contract):
    """Who passed the data checks, why the others did not, and what each said of its data beside that."""

    passed: tuple[str, ...]
    excluded: dict[str, str]
    quality: dict[str, AgencyQuality]
    privacy: dict[str, AgencyPrivacy]


def read_checks(exchange: Exchange, roster: Roster, run_id: str, wanted: tuple[str, ...]) -> Verdicts:
    """Read what the roster's agencies posted; an agency without a word is left out as absent."""
    passed: list[str] = []
    excluded: dict[str, str] = {}
    quality: dict[str, AgencyQuality] = {}
    privacy: dict[str, AgencyPrivacy] = {}
    for card in roster.members:
        agency = card.name
        if agency not in wanted:
            excluded[agency] = "left out by the run's parameters"
            continue
        excluded[agency] = "absent: no word on its data"
        for word in _words(exchange, card, run_id):
            if isinstance(word, str):
                excluded[agency] = word
                continue
            quality[agency], privacy[agency] = word.quality, word.privacy
            if word.passed:
                passed.append(agency)
                del excluded[agency]
                break
            excluded[agency] = word.reason
    return Verdicts(passed=tuple(passed), excluded=excluded, quality=quality, privacy=privacy)


def _words(exchange: Exchange, card: Card, run_id: str) -> Iterator[CheckBody | str]:
    """Read an agency's words on its data, the one that they passed first; for one that does not count, why."""
    for name in exchange.names("checks"):
        if name.removeprefix("checks/").partition(".")[0] != card.name:
            continue
        try:
            check = read_record(exchange.get(name), bytes.fromhex(card.protocol_key), "check", CheckBody)
        except ProtocolError as error:
            yield f"its word on its data is not valid: {error.code}"
            continue
        if (check.run_id, check.agency) == (run_id, card.name):
            yield check
        else:
            yield "its word on its data is of another run or agency"
