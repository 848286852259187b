"""How the threads of torch wait for each other."""

from __future__ import annotations

import os

SETTINGS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""Environment variables of the OpenMP library, which reads them when torch loads it.

A thread that waits for another sleeps. ``GOMP_SPINCOUNT`` lets it look a thousand times first, which
GCC estimates at 10 µs, as waking a thread takes longer than most waits on an idle machine.
"""

OTHERS = ("KMP_BLOCKTIME",)
"""Further variables by which people say how threads wait."""


def wait_asleep() -> None:
    """Let the threads of this process and of those that it starts sleep while they wait, unless the user decided.

    By default they spin for milliseconds. Beside another busy process a thread then keeps a core busy to wait for one
    that has none, at each of the hundreds of steps of a network: a frame of a video takes ten times as long, or more.

    In a process that has already loaded torch this changes only the processes that it starts.
    """
    if not any(os.environ.get(name) for name in (*SETTINGS, *OTHERS)):
        os.environ.update(SETTINGS)
