"""From many runs to one table and its figures, from local files alone."""
