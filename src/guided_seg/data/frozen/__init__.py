"""Frozen episodes: the episodes of an evaluation in a file."""
