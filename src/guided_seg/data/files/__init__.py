"""Read image and mask files: decoding, pairing and checking."""
