"""What a city's traffic data must fulfil before a model learns from it."""
