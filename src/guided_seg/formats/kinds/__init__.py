"""The formats, a module each with a `FORMAT`. A module that is put here is found by `guided_seg.formats.registry`."""
