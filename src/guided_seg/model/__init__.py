"""Networks as plain PyTorch modules: backbone, guide and conditioning, independent of Lightning and Hydra."""
