"""The data checks of medical: those of every scenario that classifies rows."""

from expectations.tables import suites

__all__ = ["suites"]
