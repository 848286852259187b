"""Where a run writes its metrics: a CSV file, Weights & Biases, TensorBoard."""
