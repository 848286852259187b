"""The batch command: images and videos segmented as a few annotated ones show, from a shell or on a cluster."""
