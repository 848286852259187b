"""Guided networks: a segmentation task is shown with a few dots, not trained."""

__version__ = "0.1.0"
