"""The guide g and its parts: annotation, fusion, locality and merge (paper, section 4.1)."""
