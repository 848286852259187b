"""Fuzz every target with random input, the files on each core in a process that has only so much memory.

python tests/fuzz/long.py [SECONDS]  (of all of it but the imports; 600 by default)
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

FUZZ = Path(__file__).parent
sys.path.insert(0, str(FUZZ.parent))
from support.processes import started  # noqa: E402

ADDRESSES = 12 * 2**20
"""KiB of addresses that a target may use: PyTorch alone takes half of them."""
START, PATIENCE = 300, 120
"""Most seconds to import everything on a busy machine, and for a single input."""


def groups(cores: int) -> list[tuple[list[Path], int]]:
    """The files of targets in as many groups, and how many targets each group has."""
    number = {path: path.read_text(encoding="utf-8").count("\n@examples(") for path in sorted(FUZZ.glob("test_*.py"))}
    found: list[tuple[list[Path], int]] = [([], 0) for _ in range(cores)]
    for path in sorted(number, key=lambda each: -number[each]):
        least = min(range(cores), key=lambda each: found[each][1])
        found[least] = ([*found[least][0], path], found[least][1] + number[path])
    return [group for group in found if group[0]]


def line(files: list[Path], seed: int, work: Path) -> list[str]:
    """The command that fuzzes files of targets in the folder ``work``: pytest's shared one is tidied by others."""
    pytest = [sys.executable, "-m", "pytest", "-n", "0", "-q", "--tb=short", f"--hypothesis-seed={seed}"]
    pytest += [f"--basetemp={work}", *map(str, files)]
    # a lower limit of the caller's cannot be raised, and stays
    limited = 'exec 2>&1; [ "$(ulimit -v)" != unlimited ] && [ "$(ulimit -v)" -lt "$0" ] || ulimit -v "$0" && exec "$@"'
    return ["bash", "-c", limited, str(ADDRESSES), *pytest]


def main(seconds: float) -> int:
    """Fuzz, a group of files on each core; 1 if something was found."""
    found = groups(min(os.cpu_count() or 1, 4))
    share = max(seconds / max(number for _, number in found), 5)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        running = []
        for files, number in found:
            names, seed = " ".join(file.name for file in files), random.randrange(2**32)
            place = Path(folder) / str(len(running))
            place.mkdir()
            out = stack.enter_context((place / "out").open("w", encoding="utf-8"))
            told = {"GUIDED_SEG_FUZZ_SECONDS": str(share), "GUIDED_SEG_FUZZ_LAST": str(place / "last")}
            limit = START + number * (share + PATIENCE)
            process = started(*line(files, seed, place / "work"), limit=limit, stdout=out, **told)
            running.append((f"{names} (seed {seed}): {number} targets, {share:.0f} s each", place, process))
        entered = [(what, place, stack.enter_context(process)) for what, place, process in running]
        good = [told_of(what, place, process.wait()) for what, place, process in entered]
    sys.stdout.write("no faults found\n" if all(good) else "faults found\n")
    return int(not all(good))


def told_of(what: str, place: Path, code: int) -> bool:
    """Say what was found in a group that has ended; whether that is nothing."""
    last = (place / "last").read_text(encoding="utf-8") if (place / "last").exists() else "no inputs; "
    text = f"{what}, {last.partition(';')[0]}: nothing found\n"
    if code:
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        said = (place / "out").read_text(encoding="utf-8", errors="replace")
        text = f"{what}: {how}\n{said[-20_000:]}\nlast input: {last[:2000]}\n"
    sys.stdout.write(text)
    sys.stdout.flush()
    return code == 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 600))
