"""The batch command, killed again and again and repeated each time, until it has finished.

python killed.py KILLS SEED WORDS...: prints how often it was killed. The first word is the folder of photos, and the
last one ``output_dir=FOLDER``.
The ids of images are written down when their label maps are kept, in kept.txt beside it.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from support.commands import call
from support.processes import forked

from guided_seg.formats.kept import KeptMaps
from guided_seg.formats.unfinished import WORK
from guided_seg.segment import job  # noqa: F401  (imported once, in place of in each child)
from guided_seg.session.store import Labels

honest = KeptMaps.keep


def keep(self: KeptMaps, image: str, version: str, labels: Labels) -> None:
    honest(self, image, version, labels)
    with (self.folder.parents[1] / "kept.txt").open("a", encoding="utf-8") as file:
        file.write(f"{image}\n")


def command(words: list[str]) -> int:
    done = call("segment.__main__", *words, folder=Path.cwd())
    sys.stderr.write(done.stderr)
    return done.returncode


def main() -> None:
    kills, seed, words = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    out = Path(words[-1].partition("=")[2])
    rng, killed, total = random.Random(seed), 0, len(list(Path(words[0]).iterdir()))
    while True:
        process = forked(lambda: command(words))
        # after a random number of further images, and a random moment later
        target = len(list((out / WORK).glob("[!.]*.png"))) + rng.randrange(total // (kills + 1) * 2)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                assert status == 0, status
                sys.stdout.write(f"{killed}\n")
                return
            if killed < kills and len(list((out / WORK).glob("[!.]*.png"))) >= target:
                time.sleep(rng.random() / 100)
                break
            time.sleep(0.002)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        killed += 1


if __name__ == "__main__":
    torch.set_num_threads(1)  # a child of fork has none of its parent's threads
    KeptMaps.keep = keep  # type: ignore[method-assign]
    main()
