"""The data checks of welfare."""
