"""Loggers of a run: a CSV file, Weights & Biases, TensorBoard."""
