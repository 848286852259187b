"""Making data ready: archives, download, unpacking, index, overview."""
