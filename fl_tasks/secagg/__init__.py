"""Secure aggregation: pure functions bytes -> bytes, and the state machines of agency and coordinator."""
