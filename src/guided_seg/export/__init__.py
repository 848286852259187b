"""Export of a trained network as three files: encoder, guide and segmentor (docs/export.md)."""
