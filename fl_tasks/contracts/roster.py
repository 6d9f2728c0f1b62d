"""Who may take part in a scenario and under which parameters: the roster, and the cohort of one run."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from fl_tasks.contracts.base import Contract, Name, PublicKey, RunId, Sha256, Signature, canonical_json, sha256_hex
from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.report import AgencyPrivacy, AgencyQuality


class Card(Contract):
    """What an agency (or the coordinator) shows of itself: its public Ed25519 keys."""

    name: Name
    protocol_key: PublicKey = Field(description="Signs the messages of secure aggregation.")
    airflow_key: PublicKey | None = Field(default=None, description="Signs an agency's Airflow tokens.")
    # Left out where there is none: rosters from before this key keep the hash by which they were approved.
    exchange_key: PublicKey | None = Field(
        default=None,
        exclude_if=lambda key: key is None,
        description="Signs an agency's requests to the federated server.",
    )

    @property
    def fingerprint(self) -> str:
        """What two people compare by another way than the card took, 64 hexadecimal digits."""
        return sha256_hex(b"huiliu/1/card" + canonical_json(self.model_dump(mode="json")))


class Roster(Contract):
    """One scenario's agencies and its secure-aggregation parameters. Every agency approves it by its hash."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    scenario: Name
    version: int = Field(ge=1)
    members: tuple[Card, ...] = Field(min_length=3, max_length=200, description="Sorted by name; index = id.")
    coordinator_key: PublicKey
    secagg: SecAggConfig = Field(description="With t filled in.")
    r_max: int = Field(ge=1, le=250, description="Round key sets that every agency makes for one session.")

    @model_validator(mode="after")
    def _members(self) -> Roster:
        names = self.names
        if list(names) != sorted(set(names)):
            raise ValueError("members must be sorted by name, each once")
        keys = [card.protocol_key for card in self.members] + [self.coordinator_key]
        if len(set(keys)) != len(keys):
            raise ValueError("two members have the same protocol key")
        if self.secagg.t is None:
            raise ValueError("secagg.t must be filled in")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Agency names; a name's index is the agency's id in every message."""
        return tuple(card.name for card in self.members)

    @property
    def t(self) -> int:
        """The threshold: no sum over fewer agencies is ever opened."""
        assert self.secagg.t is not None  # the validator holds it
        return self.secagg.t

    @property
    def sha256(self) -> bytes:
        """The hash by which agencies approve the roster, 32 bytes."""
        body = canonical_json(self.model_dump(mode="json", by_alias=True))
        return hashlib.sha256(b"flsa/1/roster" + body).digest()


class CohortBody(Contract):
    """The start of one run: who is invited, to what, on which data. Freezes the effective configuration."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    session: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    run_id: RunId
    scenario: Name
    data_interval: tuple[AwareDatetime, AwareDatetime]
    agencies: tuple[Name, ...] = Field(min_length=1)
    excluded: dict[Name, str] = Field(default_factory=dict, description="Roster agencies left out, and why.")
    roster_sha256: Sha256
    config_sha256: Sha256 = Field(description="Of the scenario's configuration, as canonical JSON.")
    rounds: int = Field(ge=1, description="Aggregated rounds after which the run is complete.")
    purpose: Literal["training", "survey"] = Field(
        default="training", description="survey: one round that sums counts, which the preparation is made from."
    )
    preparation: Preparation | None = Field(
        default=None, description="What every agency applied to its table, as the survey of this run ended."
    )
    parameters: int = Field(ge=1, description="Length d of a model delta; of a survey the words of its sums.")
    model_sha256: Sha256 = Field(description="Model that round 1 starts from; of a survey the hash of its request.")
    champion_sha256: Sha256 | None = Field(
        default=None, description="Champion as of the interval's end, which the agencies score beside the new model."
    )
    not_after: AwareDatetime = Field(description="Keys of this session are deleted after this time.")


class CheckBody(Contract):
    """One agency's own word on its data for one run."""

    run_id: RunId
    agency: Name
    passed: bool
    reason: str = Field(default="", max_length=500)
    quality: AgencyQuality = Field(default_factory=AgencyQuality)
    privacy: AgencyPrivacy = Field(default_factory=AgencyPrivacy)


class Signed(Contract):
    """A JSON record with its signer's Ed25519 signature over label and canonical body."""

    body: dict[str, object]
    signature: Signature
