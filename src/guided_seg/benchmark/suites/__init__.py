"""The suites of the benchmark: each yields rows of figures."""
