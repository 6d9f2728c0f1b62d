"""Expectation suites as code: one package a scenario, whose `suite` says what its data must fulfil."""
