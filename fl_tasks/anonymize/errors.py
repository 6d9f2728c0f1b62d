"""What de-identification refuses; messages name file, column and position, never a value."""

from __future__ import annotations

from fl_tasks.contracts.errors import ConfigError, DataRejected, InputError


class HierarchyInvalid(ConfigError):
    """A hierarchy is malformed: ragged, a value twice, a group with two parents, no single top."""


class ValueNotCovered(InputError):
    """A row holds a value that its column's hierarchy does not cover, or none at all."""


class PolicyUnreachable(DataRejected):
    """No recoding of the data reaches k, l and t within the suppression limit."""


class LatticeTooLarge(ConfigError):
    """The hierarchies have more combinations of levels than can be searched."""


class NoRecoding(PolicyUnreachable):
    """No one recoding holds k, l and t within the suppression limit at every agency."""
