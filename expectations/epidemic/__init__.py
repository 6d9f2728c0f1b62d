"""What a region's case counts must fulfil before a model learns from them."""
