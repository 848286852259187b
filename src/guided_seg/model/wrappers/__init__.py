"""Networks that ask another network several questions."""
