"""Read text and tensors with clear errors, write files and folders atomically, and lock folders."""
