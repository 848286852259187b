"""Kill a small run, and an evaluation, again and again with SIGKILL; repeat the command each time; compare the ends.

python experiments/faults/kills.py [--kills 30] [--seed 0] [--out experiments/faults/kills.json]

Each command runs in a copy (fork) of this process, which has imported everything already, so that a start costs less.
Every third kill waits until a file is half written. The others come at any moment. A command that ends before all
kills are used up is compared with one that was never killed, and begins anew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from guided_seg import evaluate, run
from guided_seg.files.writing import PARTIAL
from guided_seg.protocols import evaluation  # noqa: F401  # imported once, in place of in each copy
from guided_seg.training import train  # noqa: F401

RUN = (
    *("+experiment=late_global", "data.size=48", "backbone.width=16", "backbone.blocks=1", "conditioning.dropout=0.2"),
    *("data.training.batch_size=4", "data.training.val_episodes=4", "data.training.validate_every=2", "num_workers=1"),
    *("trainer.max_steps=40", "trainer.log_every_n_steps=1", "trainer.enable_progress_bar=false", "logger=csv"),
    *("evaluation.episodes=16", "evaluation.shots=[1]", "evaluation.points=[1,5]", "ckpt_path=last"),
)
EVALUATE = ("protocol=[revolver,clicks]", "protocol.revolver.episodes=60", "protocol.clicks.episodes=60")
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


def killed(
    main: Callable[[], Any], words: list[str], folder: Path, kills: int, seed: int, files: list[str]
) -> dict[str, Any]:
    """Kill a command that often, and compare the files that it leaves at its end; how often, and in what moments."""
    straight, moments, rng, ends = folder.with_name(f"{folder.name}_straight"), Counter[str](), random.Random(seed), 0
    began = time.time()
    attempt(main, [*words, f"output_dir={straight}"], straight, lambda _: False)
    longest = (time.time() - began) / 2
    while moments.total() < kills:
        left, wait = kills - moments.total(), rng.random() * longest
        found = attempt(
            main,
            [*words, f"output_dir={folder}"],
            folder,
            lambda seconds, wait=wait, left=left: seconds > wait and (left % 3 > 0 or half_written(folder)),
        )
        if found is None:
            ends += _compared(folder, straight, files)
            shutil.rmtree(folder)
        else:
            moments[found] += 1
    attempt(main, [*words, f"output_dir={folder}"], folder, lambda _: False)
    ends += _compared(folder, straight, files)
    goes_on = sum(" goes on" in line for line in folder.with_suffix(".log").read_text().splitlines())
    return {"kills": moments.total(), "while": dict(sorted(moments.items())), "equal ends": ends, "goes on": goes_on}


def _compared(folder: Path, straight: Path, files: list[str]) -> int:
    """1 if the files are equal; fails otherwise."""
    for name in files:
        ours, theirs = (_content(each / name) for each in (folder, straight))
        assert ours.keys() == theirs.keys(), name
        for key, value in theirs.items():
            assert torch.equal(ours[key], value) if isinstance(value, torch.Tensor) else ours[key] == value, key
    return 1


def _content(path: Path) -> dict[str, Any]:
    """What is to be equal in a file: not what a clock says, and of a checkpoint not the paths."""
    if path.suffix == ".ckpt":
        content = torch.load(path, map_location="cpu", weights_only=True)
        return content["state_dict"] | {key: content[key] for key in ("epoch", "global_step", "lr_schedulers")}
    if path.name == "metrics.json":
        content = json.loads(path.read_text())
        return content | {"run": content["run"]["steps"]}
    return {path.name: path.read_bytes()}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("kills.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a copy has none of the threads of its original, and one thread always rounds the same
    with tempfile.TemporaryDirectory() as temporary:
        folder, often = Path(temporary), (arguments.kills, arguments.seed)
        trained = ["checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.json", "metrics.csv", "groups.csv"]
        tested = ["protocols.json", "protocols.md", "records_revolver.jsonl", "records_clicks.jsonl"]
        found = {"run": killed(run.main, list(RUN), folder / "run", *often, trained)}
        words = [f"checkpoint={folder / 'run_straight'}", *EVALUATE]
        found["evaluate"] = killed(evaluate.main, words, folder / "evaluate", *often, tested)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
