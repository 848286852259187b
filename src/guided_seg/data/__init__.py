"""Data: labelled images and videos, tasks on them, and the episodes sampled from these tasks."""
