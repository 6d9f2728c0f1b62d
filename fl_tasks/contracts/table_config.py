"""A scenario that classifies rows of a table: its schema with the role of every column, the split, the limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fl_tasks.contracts.anonymize import ColumnConfig, PrivacyPolicy
from fl_tasks.contracts.base import Contract
from fl_tasks.contracts.source import Column

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class TableColumn(ColumnConfig):
    """One column of the harmonized schema, the same at every agency."""

    values: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="categorical: every value that may occur, in the features' order."
    )
    minimum: float | None = Field(default=None, description="numeric: smallest possible value, in `unit`.")
    maximum: float | None = Field(default=None, description="numeric: largest possible value, in `unit`.")
    unit: str | None = Field(default=None, description="numeric: unit of the values, where a delivery may differ.")
    optional: bool = Field(
        default=False, description="Whether a value may be missing; the model then sees that it is missing."
    )
    used: bool | None = Field(
        default=None,
        description="Whether the model sees it; by default quasi-identifiers and features are seen, nothing else is.",
    )

    @model_validator(mode="after")
    def _typed(self) -> TableColumn:
        if self.role in ("direct_identifier", "key"):
            return self
        bounds = (self.minimum, self.maximum)
        if self.kind == "numeric" and (None in bounds or not self.minimum < self.maximum):  # type: ignore[operator]
            raise ValueError(f"column {self.column!r}: kind numeric needs minimum and maximum, in this order")
        if self.kind == "categorical" and self.values is None and self.hierarchy is None:
            raise ValueError(f"column {self.column!r}: kind categorical needs values, or a hierarchy that lists them")
        if self.used and self.role in ("target", "key", "direct_identifier"):
            raise ValueError(f"column {self.column!r}: a {self.role} is never shown to the model")
        return self

    @property
    def seen(self) -> bool:
        """Whether the model sees the column."""
        return self.role in ("quasi_identifier", "feature") if self.used is None else self.used

    @property
    def scaled(self) -> bool:
        """Whether the model sees it as a number, less the mean and in standard deviations of all agencies' rows."""
        return self.seen and self.kind == "numeric" and self.role != "quasi_identifier"


class ImageConfig(Contract):
    """Rows that are pictures: the features, in the schema's order, are the pixels, row by row."""

    height: int = Field(ge=1, le=256, description="As delivered, pixels.")
    width: int = Field(ge=1, le=256, description="As delivered, pixels.")
    side: int = Field(ge=1, le=256, description="Height and width that the model sees; resized bilinearly.")
    maximum: float = Field(gt=0.0, description="Value of a white pixel as delivered; the model sees 0 to 1.")


class TableSplitConfig(Contract):
    """Parts of an agency's rows. Rows of one key (a household) always fall into one part."""

    train: Share
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _whole(self) -> TableSplitConfig:
        total = self.train + self.validation + self.test
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"train + validation + test must be 1, got {total:.6f}")
        return self


class TableQualityConfig(Contract):
    """Limits of the data checks; an agency beyond one of them is left out of the run, where no warning is said."""

    min_rows: int = Field(ge=1, description="Rows to train on that an agency must have.")
    min_completeness: Share = Field(description="Share of the values of columns the model sees that must be present.")
    max_quarantined: Share = Field(description="Share of raw rows that may be rejected.")
    max_psi: float = Field(default=0.25, gt=0.0, description="As for series: above it is a warning.")
    max_age_days: int = Field(default=366, ge=0, le=36_600, description="Days before the interval's end of the data.")


class TableConfig(Contract):
    """A table scenario's data."""

    kind: Literal["table"]
    columns: tuple[TableColumn, ...] = Field(min_length=1, description="Every column of the schema, once.")
    classes: tuple[str, ...] = Field(
        min_length=2, description="Values of the target; of two, the second is the positive one, whose odds are given."
    )
    protected: Column | None = Field(
        default=None, description="Group between whose members true positive rates are compared (equal opportunity)."
    )
    privacy: PrivacyPolicy | None = Field(
        default=None, description="k, l, t that every agency's release has to reach; none without quasi-identifiers."
    )
    image: ImageConfig | None = Field(default=None, description="Rows are pictures; none for records.")
    split: TableSplitConfig
    quality: TableQualityConfig

    @model_validator(mode="after")
    def _whole(self) -> TableConfig:
        names = [column.column for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"columns: a column is there twice: {sorted({n for n in names if names.count(n) > 1})}")
        if len(self.of("target")) != 1 or len(self.of("key")) > 1:
            raise ValueError("columns: exactly one target and at most one key are needed")
        if (self.privacy is None) != (not self.of("quasi_identifier")):
            raise ValueError("privacy and columns of role quasi_identifier belong together")
        if self.protected is not None and self.protected not in names:
            raise ValueError(f"protected: there is no column {self.protected!r}")
        groups = [c for c in self.of("quasi_identifier", "sensitive", "feature") if c.column == self.protected]
        if self.protected is not None and not any(c.role == "quasi_identifier" or c.values for c in groups):
            raise ValueError(f"protected: column {self.protected!r} has no groups; it must be categorical")
        if self.image is not None and len(self.of("feature")) != self.image.height * self.image.width:
            raise ValueError("image: height x width must be the number of feature columns")
        return self

    def of(self, *roles: str) -> tuple[TableColumn, ...]:
        """Return the columns of the roles, in the schema's order."""
        return tuple(column for column in self.columns if column.role in roles)

    @property
    def judged(self) -> tuple[TableColumn, ...]:
        """Columns that l and t are measured on: the sensitive ones, and what is to be predicted, which is one too."""
        return self.of("sensitive", "target")

    @property
    def target(self) -> TableColumn:
        """What is to be predicted."""
        return self.of("target")[0]

    @property
    def surveyed(self) -> bool:
        """Whether something has to be agreed on from sums over all agencies before the data can be prepared."""
        return self.image is None
