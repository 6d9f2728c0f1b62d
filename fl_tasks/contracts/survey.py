"""A survey: which sums over all agencies a table scenario asks for before training, and what was chosen from them.

The request stands where a round's model stands in training: its hash is in every message of the round. It says what
is summed and nothing else, no run, session or member: whoever asks the same question about the same data twice, with
other agencies in the sum, is recognized by it (differencing). The configuration's hash stands in the cohort.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from fl_tasks.contracts.anonymize import PrivacyPolicy
from fl_tasks.contracts.base import Contract, Name, RunId, Sha256, canonical_json
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.source import Column

SURVEY_ROUND = 1
"""The one round of a survey."""

MOST_NODES = 1 << 14
"""Combinations of levels that one survey sums; an agency looks at each one."""

# Limbs of 16 bits of each number that is summed; see fl_tasks/secagg/sums.py.
_ROWS, _FLAG = 2, 1  # up to 2**32 - 1 rows of one agency
_LOSS = _ROWS + 1
_MOMENT = _ROWS + 3

LOSS_STEPS = 1 << 16
"""Fixed point of a node's loss: steps of one wholly lost row."""

MOMENT_STEPS = 1 << 48
"""Fixed point of the sums of u and of its square, u from 0 to 1: steps of 1."""

BINS: Literal[64] = 64
"""Bins of equal width of a numeric column's histogram."""


class SurveyedHierarchy(Contract):
    """A quasi-identifier as it is surveyed; two installations mean the same by equal hashes."""

    column: Column
    levels: int = Field(ge=1, description="Levels of its hierarchy, the values themselves included.")
    sha256: Sha256 = Field(description="Of the hierarchy's values, groups, labels and losses.")


class SummedColumn(Contract):
    """A numeric column whose mean, deviation and histogram are summed."""

    column: Column
    minimum: float = Field(description="What u = 0 stands for, in the column's unit.")
    maximum: float = Field(description="What u = 1 stands for.")


class SurveyRequest(Contract):
    """What every agency is asked to sum, as its own configuration gives it too."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    scenario: Name
    hierarchies: tuple[SurveyedHierarchy, ...] = Field(description="Quasi-identifiers, in the schema's order.")
    judged: tuple[Column, ...] = Field(description="Columns that l and t are measured on.")
    policy: PrivacyPolicy | None = Field(description="k, l, t and suppression of each agency's release.")
    numeric: tuple[SummedColumn, ...] = Field(description="Columns that are scaled, in the schema's order.")
    bins: Literal[64] = BINS

    @model_validator(mode="after")
    def _whole(self) -> SurveyRequest:
        if (self.policy is None) != (not self.hierarchies):
            raise ValueError("policy and hierarchies belong together")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Levels of each quasi-identifier: the lattice."""
        return tuple(hierarchy.levels for hierarchy in self.hierarchies)

    @property
    def nodes(self) -> int:
        """Combinations of levels."""
        return math.prod(self.shape) if self.hierarchies else 0

    @property
    def limbs(self) -> tuple[int, ...]:
        """Limbs of each number, in order: the rows; a node's suppressed rows, loss, excess; a column's sums, bins."""
        node = (_ROWS, _LOSS, _FLAG)
        column = (_ROWS, _MOMENT, _MOMENT, *(_ROWS,) * self.bins)
        return (_ROWS, *node * self.nodes, *column * len(self.numeric))

    @property
    def words(self) -> int:
        """Ring words of an agency's answer, without the slots."""
        return sum(self.limbs)

    @property
    def sha256(self) -> bytes:
        """What stands in every message of the survey's round in place of a model's hash, 32 bytes."""
        body = canonical_json(self.model_dump(mode="json", by_alias=True))
        return hashlib.sha256(b"flsa/1/survey-request" + body).digest()


class PreparationBody(Contract):
    """How a survey ended; signed by the coordinator and written once."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    run_id: RunId = Field(description="Of the survey.")
    session: str = Field(pattern=r"^[0-9a-f]{32}$", description="Of the survey.")
    scenario: Name
    data_interval: tuple[AwareDatetime, AwareDatetime]
    request_sha256: Sha256 = Field(description="Of the request whose sums it was made from.")
    agencies: tuple[Name, ...] = Field(min_length=1, description="Whose sums it was made from.")
    kept: bool = Field(description="Whether the levels are those of the champion, so that models stay comparable.")
    preparation: Preparation


class SurveyFailure(Contract):
    """Why the coordinator gave a survey up; for the report."""

    code: str
    reason: str = Field(max_length=2000)
