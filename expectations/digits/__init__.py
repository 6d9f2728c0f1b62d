"""The data checks of digits."""
