"""Read text and tensors with clear errors, and write files and folders atomically."""
