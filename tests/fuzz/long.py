"""Fuzz every target with random input, each in a process of its own that has only so much memory.

python tests/fuzz/long.py [SECONDS]  (of all of it; 600 by default)
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
from support.processes import ended, started  # noqa: E402

ADDRESSES = 12 * 2**20
"""KiB of addresses that a target may use: PyTorch alone takes half of them."""
START, PATIENCE = 20, 120
"""Seconds to import everything, and how many a single input may take."""


def targets() -> list[str]:
    """The ids of all targets."""
    listed = ended(sys.executable, "-m", "pytest", "-n", "0", "-q", "--collect-only", FUZZ, limit=120).stdout
    return [line for line in listed.splitlines() if "::" in line]


def line(target: str, seed: int, work: Path) -> list[str]:
    """The command that fuzzes a target, with its files in ``work``: pytest's shared folder is tidied by others."""
    pytest = [sys.executable, "-m", "pytest", "-n", "0", "-q", "--tb=short", f"--hypothesis-seed={seed}"]
    pytest += [f"--basetemp={work}", target]
    # a lower limit of the caller's cannot be raised, and stays
    limited = 'exec 2>&1; [ "$(ulimit -v)" != unlimited ] && [ "$(ulimit -v)" -lt "$0" ] || ulimit -v "$0" && exec "$@"'
    return ["bash", "-c", limited, str(ADDRESSES), *pytest]


def fault(target: str, seed: int, code: int, out: str, last: Path) -> str | None:
    """What there is to say of a target that has ended, or None where nothing was found."""
    if code == 0:
        return None
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    inputs = last.read_text(encoding="utf-8") if last.exists() else "(none)"
    return f"{target} (seed {seed}) {how}\n{out[-6000:]}\nlast input: {inputs[:2000]}\n"


def main(seconds: float) -> int:
    """Fuzz, two targets at a time on two cores; the number of those in which something was found."""
    found, all_targets, cores = 0, targets(), min(os.cpu_count() or 1, 4)
    rounds = -(-len(all_targets) // cores)
    share = max(seconds / rounds - START, 5)
    for first in range(0, len(all_targets), cores):
        group = all_targets[first : first + cores]
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            running = []
            for number, target in enumerate(group):
                seed, last = random.randrange(2**32), Path(folder) / f"{number}.last"
                out = stack.enter_context((Path(folder) / f"{number}.out").open("w+", encoding="utf-8"))
                told = {"GUIDED_SEG_FUZZ_SECONDS": str(share), "GUIDED_SEG_FUZZ_LAST": str(last)}
                process = started(
                    *line(target, seed, Path(folder) / str(number)), limit=share + START + PATIENCE, stdout=out, **told
                )
                running.append((target, seed, stack.enter_context(process), out, last))
            for target, seed, process, out, last in running:
                process.wait()
                out.seek(0)
                text = out.read()
                problem = fault(target, seed, process.returncode, text, last)
                found += problem is not None
                sys.stdout.write(problem or f"{target}: nothing found\n")
                sys.stdout.flush()
    sys.stdout.write(f"{found} of {len(all_targets)} targets have faults\n" if found else "no faults found\n")
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 600))
