"""What a state's hospital admissions must fulfil before a model learns from them."""
