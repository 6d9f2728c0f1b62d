"""The data checks of welfare_unemployment."""
