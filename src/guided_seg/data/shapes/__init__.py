"""Built-in data: unlimited scenes of textured, moving objects."""
