"""The panels of a dashboard, and their form in Weights & Biases."""
