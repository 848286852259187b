"""The guide g: annotation, fusion, locality and merge (paper, section 4.1)."""
