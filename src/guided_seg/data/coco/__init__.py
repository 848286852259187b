"""COCO and formats like it: instances as polygons and run lengths."""
