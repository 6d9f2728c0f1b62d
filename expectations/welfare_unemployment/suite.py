"""The data checks of welfare_unemployment: those of every scenario that classifies rows."""

from expectations.tables import suites

__all__ = ["suites"]
