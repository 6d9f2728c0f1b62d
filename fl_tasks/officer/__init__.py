"""The data officer's side: plans that came, shown and decided on, and the agency's data sets, with PySyft's client."""
