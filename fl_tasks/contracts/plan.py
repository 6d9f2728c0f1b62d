"""What an agency's data officer decides on, and what a decision says.

The coordinator signs a plan for each agency and run. Of a plan, the terms stay the same from month to month; they are
what a standing approval is given for. Decisions are the officer's, signed with a key that no other party has, and stand
beside PySyft's own state, which is unsigned and knows no digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from fl_tasks.contracts.base import Contract, Name, RunId, Sha256, canonical_json, sha256_hex
from fl_tasks.contracts.config import ModelName

RecordId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


def code_sha256(files: Mapping[str, str]) -> str:
    """Return one digest of code, from the name and SHA-256 of each file."""
    return sha256_hex(b"huiliu/1/code" + canonical_json(sorted(files.items())))


class Terms(Contract):
    """What a retraining wants of one agency, whatever its month.

    Columns and parameters are repeated from the YAML for whoever reads a plan; config_sha256 and source_sha256 fix all.
    """

    scenario: Name
    agency: Name
    code_sha256: Sha256 = Field(description="Digest of all code that can run in the agency's stages, file by file.")
    config_sha256: Sha256 = Field(description="Hash of the scenario's configuration.")
    roster_sha256: Sha256 = Field(description="Hash of the roster, which every member approved.")
    source: str = Field(min_length=1, max_length=1000, description="Path or table that is read, as in the YAML.")
    source_sha256: Sha256 = Field(description="Hash of the agency's whole declaration of its data.")
    lookback_months: int = Field(ge=1, description="Months before the end of a run's interval that may be read.")
    columns: dict[str, str] = Field(description="Delivered column -> its role.")
    model: ModelName
    rounds: int = Field(ge=1, description="Most round indices, the spare ones included.")
    clip: float = Field(gt=0.0, description="L2 norm to which an update is clipped.")
    privacy: dict[str, float] = Field(description="Privacy parameters by name, like k, l and t of a table.")


class Plan(Contract):
    """What one retraining wants of one agency; signed by the coordinator with the label `plan`."""

    terms: Terms
    run_id: RunId
    data_interval: tuple[AwareDatetime, AwareDatetime] = Field(
        description="The run's, [start, end) in UTC; what is read reaches the terms' lookback_months back from its end."
    )
    code_archive_sha256: Sha256 = Field(description="Hash of the archive with the code, as it was delivered.")

    @property
    def sha256(self) -> str:
        """The digest that an officer reads on the screen and repeats."""
        return sha256_hex(b"huiliu/1/plan" + canonical_json(self.model_dump(mode="json")))

    @property
    def terms_sha256(self) -> str:
        """The digest of what stays the same from month to month."""
        return sha256_hex(b"huiliu/1/terms" + canonical_json(self.terms.model_dump(mode="json")))


class Decision(Contract):
    """What an officer decided on one plan; signed with the label `officer/decision`."""

    id: RecordId
    agency: Name
    verdict: Literal["approved", "rejected"]
    run_id: RunId
    plan_sha256: Sha256
    job: str = Field(min_length=1, max_length=200, description="Name of the plan's job in PySyft.")
    files: dict[str, Sha256] = Field(description="Every file of the job, by its name below the job's inbox folder.")
    interval_end: AwareDatetime = Field(description="End of the plan's data interval.")
    at: AwareDatetime
    not_after: AwareDatetime = Field(description="Afterwards it opens nothing.")
    standing: RecordId | None = Field(default=None, description="The standing approval that it was made under.")
    reason: str = Field(default="", max_length=500)


class Standing(Contract):
    """An officer's approval of later months' plans with the same terms; signed with the label `officer/standing`.

    The first run is approved by itself; each further one has to be of a later interval than all before it, so that no
    month is opened twice, and none of the past.
    """

    id: RecordId
    agency: Name
    terms_sha256: Sha256
    first_run: RunId = Field(description="The run with whose plan it was given.")
    interval_end: AwareDatetime = Field(description="End of that plan's data interval; later ones are covered.")
    at: AwareDatetime
    not_after: AwareDatetime = Field(description="Plans whose run begins afterwards are not covered.")
    max_runs: Annotated[int, Field(ge=1, le=1000)] = Field(description="Retrainings that it covers.")

    @model_validator(mode="after")
    def _ends(self) -> Standing:
        if self.not_after <= self.at:
            raise ValueError("not_after must come after at")
        return self


class Revocation(Contract):
    """An officer takes a decision or a standing approval back; signed with the label `officer/revocation`."""

    id: RecordId = Field(description="Of the record that is taken back.")
    agency: Name
    at: AwareDatetime
    reason: str = Field(default="", max_length=500)


ANSWERS = "plan/answer"
"""Folder of the agencies' answers in a run's exchange."""


class Answer(Contract):
    """What an agency tells the coordinator of the decision on its plan; signed by the agency, label `answer`."""

    run_id: RunId
    agency: Name
    plan_sha256: Sha256
    verdict: Literal["approved", "rejected"]
    by: Literal["policy", "officer", "standing approval"]
    decision: RecordId | None = Field(default=None, description="The officer's record; null where the policy decides.")
    trial: bool = Field(default=False, description="Whether officer and daemon are the same OS user.")


class OfficerCard(Contract):
    """Who an agency's officer is; the agency's operator pins it as officer.json in the agency's own folder."""

    agency: Name
    public_key: Sha256 = Field(description="Ed25519 public key, 64 hexadecimal digits.")
    folder: str = Field(min_length=1, description="The officer's own folder, absolute; the daemon reads it.")
    user: int = Field(ge=0, description="Id of the officer's OS user.")
    trial: bool = Field(
        default=False, description="Whether officer and daemon are the same OS user: on one machine, for a trial only."
    )
