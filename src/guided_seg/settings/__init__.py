"""What every setting may be, and what is wrong with a command line."""
