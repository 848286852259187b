"""Write what a session segmented in the formats of other tools: `write` and the table `FORMATS`."""

from guided_seg.formats.registry import FORMATS
from guided_seg.formats.saving import write

__all__ = ["FORMATS", "write"]
