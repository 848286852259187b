"""Sessions inside other programs: CVAT, Label Studio and napari. Each module only translates."""
