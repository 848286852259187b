"""Valid values of settings, and checks of command lines."""
