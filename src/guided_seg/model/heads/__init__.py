"""The head that weighs all evidence, and what it reads."""
