"""The data stages of scenarios that classify rows of a table: persons, households, pictures."""
