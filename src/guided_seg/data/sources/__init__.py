"""The data sets that episodes are drawn from."""
