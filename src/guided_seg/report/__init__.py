"""What a run leaves to look at: scores as a file and a table, curves, and panels of episodes."""
