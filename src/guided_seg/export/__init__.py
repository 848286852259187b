"""The three parts of a trained network as files of their own: encoder, guide and segmentor (docs/export.md)."""
