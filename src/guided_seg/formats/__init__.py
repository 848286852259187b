"""Write what a session segmented in the formats of other tools: `write` and the table `FORMATS`."""

from guided_seg.formats.registry import FORMATS, kind_of
from guided_seg.formats.saving import Result, write, write_files

__all__ = ["FORMATS", "Result", "kind_of", "write", "write_files"]
