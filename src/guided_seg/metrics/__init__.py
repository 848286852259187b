"""Scores of label maps: IoU, J and F, simulated clicks, and 95 % intervals (concepts, rule 8)."""
