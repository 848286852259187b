"""Making data ready: archives, download, unpacking, reading every file, overview."""
