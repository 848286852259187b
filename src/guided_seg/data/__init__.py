"""Labelled images and videos, the tasks posed on them, and the episodes sampled from these."""
