"""Interactive sessions: users annotate images and videos with dots and get masks. Each image is encoded once.

In your own program, import ``guided_seg`` before ``torch``, or set ``OMP_WAIT_POLICY=PASSIVE`` before it starts.
Otherwise idle torch threads spin, and predictions take many times as long while another process is busy.
"""

from guided_seg.session.session import Session
from guided_seg.session.store import NEGATIVE

__all__ = ["NEGATIVE", "Session"]
