"""How fast everything is on this machine, each figure beside what it is to be compared with."""
