"""What all agencies apply alike to their tables before training: one recoding, one scale. Part of a model version."""

from __future__ import annotations

from pydantic import Field

from fl_tasks.contracts.base import Contract, Sha256
from fl_tasks.contracts.source import Column


class ColumnScale(Contract):
    """Mean and standard deviation of a numeric column over the rows of all agencies that were summed."""

    mean: float = Field(description="In the column's unit; what the model sees as 0.")
    std: float = Field(gt=0.0, description="In the column's unit; what the model sees as 1.")
    quantiles: tuple[float, ...] = Field(
        default=(), description="0.05, 0.25, 0.5, 0.75 and 0.95 from the summed histogram, in the column's unit."
    )


class Preparation(Contract):
    """Chosen by the coordinator from secure sums; signed, and carried by the model that was trained with it."""

    levels: dict[Column, int] = Field(default_factory=dict, description="Quasi-identifier -> level of its hierarchy.")
    hierarchies: dict[Column, Sha256] = Field(
        default_factory=dict, description="Quasi-identifier -> hash of its hierarchy: what the levels mean."
    )
    features: tuple[str, ...] = Field(
        min_length=1, description="What the model sees of a row, in this order: a scaled column, or one of its values."
    )
    scales: dict[Column, ColumnScale] = Field(default_factory=dict, description="Numeric feature -> its scale.")

    def same_features(self, other: Preparation) -> bool:
        """Say whether rows of one are rows of the other but for the scale of their numbers."""
        mine, theirs = ((one.levels, one.hierarchies, one.features, set(one.scales)) for one in (self, other))
        return mine == theirs
