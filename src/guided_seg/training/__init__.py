"""Training, validation and test of a network with Lightning; sweeps; and the feature cache."""
