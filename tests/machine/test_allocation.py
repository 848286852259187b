"""How a process allocates memory."""

from __future__ import annotations

import sys

import pytest
from support.processes import python

ARENAS = """
import ctypes, re, sys, tempfile, threading
from pathlib import Path
from guided_seg.machine.allocation import one_arena
if sys.argv[1] == "one":
    one_arena()
barrier = threading.Barrier(5)
threads = [threading.Thread(target=lambda: (bytearray(10**6), barrier.wait(), barrier.wait())) for _ in range(4)]
for thread in threads:
    thread.start()
barrier.wait()
library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "info.xml"
    file = ctypes.c_void_p(library.fopen(str(path).encode(), b"w"))
    library.malloc_info(0, file)
    library.fclose(file)
    print(len(re.findall("<heap nr", path.read_text())))
barrier.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_threads_share_an_arena_where_that_is_wanted() -> None:
    found = {way: int(python("-c", ARENAS, way, limit=60)) for way in ("one", "default")}
    assert found["one"] == 1
    assert found["default"] > 1
