"""Memory in videos: the answer to the frame before."""
