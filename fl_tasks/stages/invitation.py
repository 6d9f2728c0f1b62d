"""Who is invited to a session, of a training or of its survey, and the session itself."""

from __future__ import annotations

import secrets

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import ScenarioConfig
from fl_tasks.contracts.errors import ConfigError, QuorumMissing
from fl_tasks.contracts.roster import Roster
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.stages.checks import read_checks
from fl_tasks.stages.context import exchange_of
from fl_tasks.stages.enrol import approvals

# Long enough for a run whose tasks are cleared after a week-end; then its secrets are deleted.
SESSION_DAYS = 7
_MOST_CHARACTERS = 500  # of a result's reason


def invited(spec: StageSpec, roster: Roster) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the agencies that passed their checks and approved the roster, and why the others are left out."""
    verdicts = read_checks(exchange_of(spec), roster, spec.run_id, spec.agencies or roster.names)
    approved = approvals(spec.places, roster)
    waiting = {agency: "has not approved the roster" for agency in verdicts.passed if agency not in approved}
    return tuple(agency for agency in verdicts.passed if agency in approved), verdicts.excluded | waiting


def enough(roster: Roster, passed: tuple[str, ...], excluded: dict[str, str]) -> None:
    """Check that t agencies may take part.

    Raises:
        QuorumMissing: If they are fewer; with everyone's reason.
    """
    if len(passed) < roster.t:
        reasons = "; ".join(f"{agency}: {reason}" for agency, reason in excluded.items())
        raise QuorumMissing(
            f"{len(passed)} agencies may take part, {roster.t} are needed. Left out: {reasons}. "
            "Mend what stands there and start a new run"
        )


def reasons_text(excluded: dict[str, str]) -> str:
    """Say who is left out and why, in at most 500 characters; a long reason is cut and hides no other agency's."""
    each = _MOST_CHARACTERS // max(len(excluded), 1) - 2
    return "; ".join(f"{agency}: {reason}"[:each] for agency, reason in excluded.items())


def left_out_text(excluded: dict[str, str]) -> str:
    """Say who is left out and why, as the end of a sentence."""
    return "".join(f"; left out: {agency}: {reason}" for agency, reason in excluded.items())


def check_fit(config: ScenarioConfig, roster: Roster) -> None:
    """Hold a configuration against the roster, which froze the protocol's parameters.

    Raises:
        ConfigError: If the YAML was changed since: that has to be agreed on anew.
    """
    wanted = config.secagg.model_copy(update={"t": roster.t if config.secagg.t is None else config.secagg.t})
    if wanted != roster.secagg or config.rounds.groups != roster.r_max:
        raise ConfigError(
            f"scenario {config.scenario}: secagg or rounds differ from the approved roster {roster.sha256.hex()[:16]}; "
            "run `fl coordinator init` and let every agency approve the new roster"
        )


def draw_session(spec: StageSpec) -> bytes:
    """Draw the session's 16 bytes once for a run."""
    path = spec.folder / "session"
    if not path.exists():
        write_atomic(path, secrets.token_bytes(16))
    return path.read_bytes()
