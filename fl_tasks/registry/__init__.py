"""Which model is used: the gate's decision, and MLflow's view of runs and model versions."""
