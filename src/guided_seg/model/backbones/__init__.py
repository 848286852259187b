"""Pretrained backbones, and the pyramid that joins their strides."""
