"""From annotated images to score maps, with whatever can be kept kept: what sessions and protocols answer with."""
