"""How torch threads wait for each other."""

from __future__ import annotations

import os

SETTINGS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""Environment variables of the OpenMP library, which reads them when torch loads it.

Waiting threads sleep. ``GOMP_SPINCOUNT`` makes them check a thousand times first, about 10 µs according to GCC, because
waking a thread takes longer than most waits on an idle machine.
"""

OTHERS = ("KMP_BLOCKTIME",)
"""Other variables with which users configure waiting."""


def wait_asleep() -> None:
    """Let waiting threads of this process and its children sleep, unless the user has configured this.

    By default they spin for milliseconds. Next to another busy process, a thread then occupies a core while it waits
    for one without a core, at each of the hundreds of steps of a network: a video frame takes ten times as long.

    If torch is already loaded, this only affects child processes.
    """
    if not any(os.environ.get(name) for name in (*SETTINGS, *OTHERS)):
        os.environ.update(SETTINGS)
