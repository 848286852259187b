"""Memory allocation settings of this process."""

from __future__ import annotations

import ctypes
import sys


def keep_freed_memory() -> None:
    """Let this process keep up to 2 GB of freed memory.

    By default glibc returns large blocks to the system immediately, and the system zeroes them on the next allocation.
    This takes nearly half of the time of a small network, and a quarter of that of sampling an episode. Systems other
    than Linux with a recent glibc are unchanged.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        # an older glibc cannot keep large blocks, and the other setting alone would be slower
        if library.mallopt(mmap_threshold, 2**30):
            library.mallopt(trim_threshold, 2**31 - 1)


def one_arena() -> None:
    """Let all threads of this process allocate from one arena. Call it before any thread starts.

    By default glibc gives each thread an arena of its own, of heaps of 64 MB that are never joined. Features that are
    kept lie between the large blocks of a network there, so that more and more heaps are needed, and larger blocks are
    taken from other arenas: a server that keeps 512 MB of features grew by up to 400 MB while it segmented 1,000
    photos. Systems other than Linux with glibc are unchanged.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        arena_max = -8
        library.mallopt(arena_max, 1)
