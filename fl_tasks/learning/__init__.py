"""TensorFlow Federated: the only room that imports TensorFlow at module level. A process of its own."""
