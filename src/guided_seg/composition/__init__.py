"""From a config to objects, and which classes a file may ask for."""
