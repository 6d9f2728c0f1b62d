"""The data checks of medical."""
