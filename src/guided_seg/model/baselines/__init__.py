"""Baselines: segmentation without guidance, and fine-tuning (paper, section 5)."""
