"""Kill a small run, and an evaluation, again and again with SIGKILL; repeat the command each time; compare the ends.

python experiments/faults/kills.py [--kills 30] [--processes 1] [--out experiments/faults/kills.json]

Each command runs in a copy (fork) of this process, which has imported everything already, so that a start costs less.
Every third kill waits until a file is half written. The others come at any moment. A command that ends before all
kills are used up is compared with one that was never killed, and begins anew.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

from guided_seg import evaluate, run
from guided_seg.files.writing import PARTIAL
from guided_seg.protocols import evaluation  # noqa: F401  # imported once, in place of in each copy
from guided_seg.training import train  # noqa: F401

RUN = (
    *("+experiment=late_global", "data.size=48", "backbone.width=16", "backbone.blocks=1", "conditioning.dropout=0.2"),
    *("data.training.batch_size=4", "data.training.val_episodes=4", "data.training.validate_every=2", "num_workers=1"),
    *("trainer.max_steps=20", "trainer.log_every_n_steps=1", "trainer.enable_progress_bar=false", "logger=csv"),
    *("evaluation.episodes=8", "evaluation.shots=[1]", "evaluation.points=[1,5]", "ckpt_path=last"),
)
EVALUATE = ("protocol=[revolver,clicks]", "protocol.revolver.episodes=15", "protocol.clicks.episodes=15")
TRAINED = ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.json", "metrics.csv", "groups.csv")
TESTED = ("protocols.json", "protocols.md", "records_revolver.jsonl", "records_clicks.jsonl")
LONGEST = 900.0
"""Seconds after which a start counts as hung."""


def attempt(main: Callable[[], Any], words: list[str], folder: Path, kill: Callable[[float], bool]) -> str | None:
    """Run a command until it ends, or until ``kill`` says so of the seconds since its start.

    Args:
        main: the command.
        words: its arguments.
        folder: what it fills; its output goes to a file beside it.
        kill: whether to kill it now.

    Returns:
        What it was doing when it was killed; None if it has ended.
    """
    began, log = time.time(), folder.with_suffix(".log")
    process = os.fork()
    if not process:
        _become(main, words, log)
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0, log.read_text()[-3000:]
            return None
        seconds = time.time() - began
        if kill(seconds) or seconds > LONGEST:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            assert seconds < LONGEST, f"it hangs: {log.read_text()[-3000:]}"
            return _moment(folder, began)
        time.sleep(0.0005)


def _become(main: Callable[[], Any], words: list[str], log: Path) -> None:
    """Run the command in this copy of the process, and end it."""
    code: Any = 1
    try:
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(written, 1)
        os.dup2(written, 2)
        sys.argv = ["command", *words]
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def half_written(folder: Path) -> bool:
    """Whether a file of the folder or a checkpoint is being written."""
    return any(folder.glob(f"{PARTIAL}*")) or any(folder.glob(f"checkpoints/{PARTIAL}*"))


def _moment(folder: Path, began: float) -> str:
    """What the command was doing when it was killed, by the files that it left."""
    if any(folder.glob(f"checkpoints/{PARTIAL}*")):
        return "writing a checkpoint"
    if half_written(folder):
        return "writing another file"
    if any(path.stat().st_mtime > began for path in folder.glob("records_*.jsonl")):
        return "testing"
    table = folder / "metrics.csv"
    return "training" if table.is_file() and table.stat().st_mtime > began else "starting"


def killed(part: Part) -> Counter[str]:
    """Kill a command that often, and compare the files that it leaves at its end; what happened how often."""
    words, rng, found = [*part.words, f"output_dir={part.folder}"], random.Random(part.seed), Counter[str]()
    while True:
        left, wait = part.kills - found["kills"], rng.random() * part.longest
        done = attempt(
            part.main,
            words,
            part.folder,
            lambda seconds, left=left, wait=wait: (
                left > 0 and wait < seconds and (left % 3 > 0 or half_written(part.folder))
            ),
        )
        if done is not None:
            found.update({"kills": 1, f"while {done}": 1})
            continue
        _compare(part.folder, part.straight, part.files)
        found["equal ends"] += 1
        if not left:
            break
        shutil.rmtree(part.folder)
    lines = part.folder.with_suffix(".log").read_text().splitlines()
    found["starts that said that it goes on"] = sum(" goes on" in line for line in lines)
    return found


def _compare(folder: Path, straight: Path, files: Sequence[str]) -> None:
    """Fail unless the files are equal."""
    for name in files:
        ours, theirs = (_content(each / name) for each in (folder, straight))
        assert ours.keys() == theirs.keys(), name
        for key, value in theirs.items():
            assert torch.equal(ours[key], value) if isinstance(value, torch.Tensor) else ours[key] == value, key


def _content(path: Path) -> dict[str, Any]:
    """What is to be equal in a file: not what a clock says, and of a checkpoint not the paths."""
    if path.suffix == ".ckpt":
        content = torch.load(path, map_location="cpu", weights_only=True)
        return content["state_dict"] | {key: content[key] for key in ("epoch", "global_step", "lr_schedulers")}
    if path.name == "metrics.json":
        content = json.loads(path.read_text())
        return content | {"run": content["run"]["steps"]}
    if path.name == "metrics.csv":
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {path.name: [{key: cell for key, cell in row.items() if not key.startswith("run/")} for row in rows]}
    return {path.name: path.read_bytes()}


class Part(NamedTuple):
    """A command to be killed.

    Attributes:
        main: the command.
        words: its arguments, but for the folder.
        files: what is compared.
        folder: what it fills.
        straight: what it filled without a kill.
        longest: seconds after which it is killed at the latest, but for a file that is half written.
        kills: how often it is killed.
        seed: of the moments.
    """

    main: Callable[[], Any]
    words: Sequence[str]
    files: Sequence[str]
    folder: Path
    straight: Path
    longest: float
    kills: int
    seed: int


def parts(
    name: str,
    main: Callable[[], Any],
    words: Sequence[str],
    files: Sequence[str],
    folder: Path,
    kills: int,
    number: int,
) -> list[Part]:
    """Run a command without a kill, and share the kills among several of it."""
    straight, began = folder / f"{name}_straight", time.time()
    attempt(main, [*words, f"output_dir={straight}"], straight, lambda _: False)
    longest = (time.time() - began) / 2
    shares = [len(range(kills)[seed::number]) for seed in range(number)]
    return [
        Part(main, words, files, folder / f"{name}_{seed}", straight, longest, share, seed)
        for seed, share in enumerate(shares)
    ]


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="of each command")
    parser.add_argument("--processes", type=int, default=1, help="that share the kills of a command")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("kills.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a copy has none of the threads of its original, and one thread always rounds the same
    found: dict[str, Counter[str]] = {"run": Counter(), "evaluate": Counter()}
    with tempfile.TemporaryDirectory() as temporary:
        folder, often = Path(temporary), (arguments.kills, arguments.processes)
        killable = parts("run", run.main, RUN, TRAINED, folder, *often)
        words = (f"checkpoint={folder / 'run_straight'}", *EVALUATE)
        killable += parts("evaluate", evaluate.main, words, TESTED, folder, *often)
        with ProcessPoolExecutor(2 * arguments.processes, get_context("fork")) as pool:
            for part, counted in zip(killable, pool.map(killed, killable), strict=True):
                found[part.folder.name.partition("_")[0]].update(counted)
    text = json.dumps({name: dict(sorted(counted.items())) for name, counted in found.items()}, indent=2)
    arguments.out.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
