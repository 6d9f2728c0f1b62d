"""The data checks of traffic_districts: those of every scenario that forecasts series."""

from expectations.series import suites

__all__ = ["suites"]
