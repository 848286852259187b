"""The built-in data: endless scenes of textured, moving objects."""
