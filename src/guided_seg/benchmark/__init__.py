"""Speed benchmarks on this machine, each with a reference."""
