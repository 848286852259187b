"""Build objects from configs, and decide which classes a file may name."""
