"""Sessions: dots on images and videos in, masks out, each image encoded once."""

from guided_seg.session.session import Session
from guided_seg.session.store import NEGATIVE

__all__ = ["NEGATIVE", "Session"]
