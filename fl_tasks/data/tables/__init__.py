"""Rows of a table: reading them by declaration, harmonizing, splitting, and what the model sees of them."""
