"""Named protocols: evaluations whose rules, episodes and intervals are stated."""
