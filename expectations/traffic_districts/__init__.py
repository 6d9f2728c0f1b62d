"""What a district's traffic data must fulfil before a model learns from it."""
