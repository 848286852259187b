"""Networks as plain modules: backbone, guide, conditioning. They know neither Lightning nor Hydra."""
