"""Wrappers that query a network several times and combine the results."""
