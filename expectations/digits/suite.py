"""The data checks of digits: those of every scenario that classifies rows."""

from expectations.tables import suites

__all__ = ["suites"]
