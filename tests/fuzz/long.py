"""Fuzz every target with random input, each file of targets in a process of its own that has only so much memory.

python tests/fuzz/long.py [SECONDS]  (of all of it but the imports; 600 by default)
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FUZZ = Path(__file__).parent
sys.path.insert(0, str(FUZZ.parent))
from support.processes import started  # noqa: E402

ADDRESSES = 12 * 2**20
"""KiB of addresses that a target may use: PyTorch alone takes half of them."""
START, PATIENCE = 300, 120
"""Most seconds to import everything on a busy machine, and for a single input."""


def targets() -> dict[Path, int]:
    """Each file of targets, and how many it has."""
    return {path: path.read_text(encoding="utf-8").count("\n@examples(") for path in sorted(FUZZ.glob("test_*.py"))}


def line(file: Path, seed: int, work: Path) -> list[str]:
    """The command that fuzzes a file of targets in the folder ``work``: pytest's shared one is tidied by others."""
    pytest = [sys.executable, "-m", "pytest", "-n", "0", "-q", "--tb=short", f"--hypothesis-seed={seed}"]
    pytest += [f"--basetemp={work}", str(file)]
    # a lower limit of the caller's cannot be raised, and stays
    limited = 'exec 2>&1; [ "$(ulimit -v)" != unlimited ] && [ "$(ulimit -v)" -lt "$0" ] || ulimit -v "$0" && exec "$@"'
    return ["bash", "-c", limited, str(ADDRESSES), *pytest]


def fault(file: Path, seed: int, code: int, out: str, last: Path) -> str | None:
    """What there is to say of a file that has ended, or None where nothing was found."""
    if code == 0:
        return None
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    inputs = last.read_text(encoding="utf-8") if last.exists() else "(none)"
    return f"{file.name} (seed {seed}) {how}\n{out[-6000:]}\nlast input: {inputs[:2000]}\n"


def fuzzed(file: Path, number: int, share: float) -> bool:
    """Fuzz a file with so many targets, each for ``share`` seconds; whether nothing was found."""
    seed = random.randrange(2**32)
    with tempfile.TemporaryDirectory() as folder:
        last, out = Path(folder) / "last", Path(folder) / "out"
        told = {"GUIDED_SEG_FUZZ_SECONDS": str(share), "GUIDED_SEG_FUZZ_LAST": str(last)}
        limit = START + number * (share + PATIENCE)
        command = line(file, seed, Path(folder) / "work")
        with out.open("w", encoding="utf-8") as said, started(*command, limit=limit, stdout=said, **told) as process:
            process.wait()
        problem = fault(file, seed, process.returncode, out.read_text(encoding="utf-8", errors="replace"), last)
    sys.stdout.write(problem or f"{file.name}: {number} targets, {share:.0f} s each: nothing found\n")
    sys.stdout.flush()
    return problem is None


def main(seconds: float) -> int:
    """Fuzz, a file on each core at a time; 1 if something was found."""
    files, cores = targets(), min(os.cpu_count() or 1, 4)
    share = max(seconds * cores / sum(files.values()), 5)
    with ThreadPoolExecutor(cores) as pool:
        # the longest first
        jobs = [pool.submit(fuzzed, file, files[file], share) for file in sorted(files, key=files.__getitem__)[::-1]]
        good = [job.result() for job in jobs]
    sys.stdout.write("no faults found\n" if all(good) else f"{good.count(False)} of {len(good)} files have faults\n")
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 600))
