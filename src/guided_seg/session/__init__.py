"""Sessions: dots on images and videos in, masks out, each image encoded once.

In your own program import ``guided_seg`` before ``torch``, or start it with ``OMP_WAIT_POLICY=PASSIVE``. Else the
threads of torch spin while they wait for each other, and beside a busy process answers take many times as long.
"""

from guided_seg.session.session import Session
from guided_seg.session.store import NEGATIVE

__all__ = ["NEGATIVE", "Session"]
