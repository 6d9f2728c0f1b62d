"""The data checks of medical_medicaid."""
