"""Sources of episodes: one module per data set, and mixtures."""
