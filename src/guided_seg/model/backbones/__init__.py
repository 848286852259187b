"""Pretrained backbones, and the feature pyramid that joins their feature maps."""
