"""COCO and similar formats: instances as polygons and run lengths."""
