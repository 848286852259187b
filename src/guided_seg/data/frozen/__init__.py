"""Frozen episodes: the questions of an evaluation in a file."""
