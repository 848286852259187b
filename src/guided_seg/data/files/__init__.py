"""Image and mask files: decoding, pairing, checking."""
