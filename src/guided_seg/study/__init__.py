"""From many runs to one table and its figures."""
