"""What tests of several rooms share: tiny archives, networks, commands, episodes, evaluations, started processes."""
