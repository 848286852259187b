"""Prediction with a cache: from annotated images to score maps, for sessions, protocols and benchmarks."""
