"""The data checks of epidemic_influenza: those of every scenario that forecasts series."""

from expectations.series import suites

__all__ = ["suites"]
