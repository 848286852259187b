"""The configuration groups, a package so that the commands work from any folder and from a wheel."""
