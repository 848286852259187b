"""Kill a small run, an evaluation, and a run of two processes again and again with SIGKILL; compare the ends.

python experiments/faults/kills.py [run] [evaluate] [ranks] [--kills 30] [--processes 1] [--out FILE]

After each kill the same command follows. Each runs in a copy (fork) of this process, which has imported everything
already, so that a start costs less. Every third kill waits until a file is half written. The others come at any moment.
A command that ends before all kills are used up is compared with one that was never killed, and begins anew.

Of the run of two processes (``ranks``), which is killed a third as often, one of the two is killed, by chance. Then all
processes of the run must end within a minute, and the first one, if it is left, with an error that tells of the other.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parent))
from attempts import OneOfTwo, attempt, half_written, kill

from guided_seg import evaluate, run
from guided_seg.files.writing import write_json
from guided_seg.protocols import evaluation  # noqa: F401  # imported once, in place of in each copy
from guided_seg.report.table import Table, columns
from guided_seg.training import train  # noqa: F401

RUN = (
    *("+experiment=late_global", "data.size=48", "backbone.width=16", "backbone.blocks=1", "conditioning.dropout=0.2"),
    *("data.training.batch_size=4", "data.training.val_episodes=4", "data.training.validate_every=2", "num_workers=1"),
    *("trainer.max_steps=20", "trainer.log_every_n_steps=1", "trainer.enable_progress_bar=false", "logger=csv"),
    *("evaluation.episodes=8", "evaluation.shots=[1]", "evaluation.points=[1,5]", "ckpt_path=last"),
)
RANKS = (*RUN, "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
EVALUATE = ("protocol=[revolver,clicks]", "protocol.revolver.episodes=15", "protocol.clicks.episodes=15")
TRAINED = ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.json", "metrics.csv", "groups.csv")
TESTED = ("protocols.json", "protocols.md", "records_revolver.jsonl", "records_clicks.jsonl")


def killed(part: Part) -> tuple[Counter[str], float]:
    """Kill a command that often, and compare the files that it leaves at its end.

    Returns:
        What happened how often; and of a run of two processes, most seconds from a kill to the end of both.
    """
    words, rng, found = [*part.command.words, f"output_dir={part.folder}"], random.Random(part.seed), Counter[str]()
    strike = OneOfTwo(part.seed) if part.command.of_two else kill
    while True:
        left, wait = part.kills - found["kills"], rng.random() * part.longest
        done = attempt(
            part.command.main,
            words,
            part.folder,
            lambda seconds, left=left, wait=wait: (
                left > 0 and wait < seconds and (left % 3 > 0 or half_written(part.folder))
            ),
            strike,
        )
        if done is not None:
            found.update({"kills": 1, f"while {done}": 1})
            continue
        _compare(part.folder, part.straight, part.command.files)
        found["equal ends"] += 1
        if not left:
            break
        shutil.rmtree(part.folder)
    lines = part.folder.with_suffix(".log").read_text().splitlines()
    found["starts that said that it goes on"] = sum(" goes on" in line for line in lines)
    if not isinstance(strike, OneOfTwo):
        return found, 0.0
    return found + strike.found, round(strike.slowest, 1)


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


class Command(NamedTuple):
    """What is killed.

    Attributes:
        main: the command.
        words: its arguments, but for the folder.
        files: what is compared.
        kills: how often it is killed.
        of_two: run two processes, and kill one of them.
    """

    main: Callable[[], Any]
    words: Sequence[str]
    files: Sequence[str]
    kills: int
    of_two: bool = False


class Part(NamedTuple):
    """Kills of a command.

    Attributes:
        command: the command.
        folder: what it fills.
        straight: what it filled without a kill.
        longest: seconds after which it is killed at the latest, but for a file that is half written.
        kills: how often it is killed.
        seed: of the moments.
    """

    command: Command
    folder: Path
    straight: Path
    longest: float
    kills: int
    seed: int


def parts(name: str, command: Command, folder: Path, number: int) -> list[Part]:
    """Run a command without a kill, and share the kills among several of it."""
    straight, began = folder / f"{name}_straight", time.time()
    attempt(command.main, [*command.words, f"output_dir={straight}"], straight, lambda _: False)
    # the start of a second process is a large part of the first half
    longest = (time.time() - began) * (1 if command.of_two else 0.5)
    shares = [len(range(command.kills)[seed::number]) for seed in range(number)]
    return [
        Part(command, folder / f"{name}_{seed}", straight, longest, share, seed) for seed, share in enumerate(shares)
    ]


ORDER = ("starting", "training", "writing a checkpoint", "writing another file", "testing")


def table(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """The counts of each command in a column."""
    heads = {"run": "run", "evaluate": "evaluate", "ranks": "run of two processes"}
    names = {f"while {each}": each for each in ORDER} | {"kills": "**all**", "equal ends": "ends, all equal to the bit"}
    lines = [[said, *(rows[name].get(key, "–") for name in heads)] for key, said in names.items()]
    return Table(columns(("killed while", *heads.values())), lines)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", default=["run", "evaluate", "ranks"], help="others stay as they were")
    parser.add_argument(
        "--kills", type=int, default=30, help="of each command; a third of them if it has two processes"
    )
    parser.add_argument("--processes", type=int, default=1, help="that share the kills of a command")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("kills.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a copy has none of the threads of its original, and one thread always rounds the same
    os.environ["OMP_NUM_THREADS"] = "1"  # for the second of two processes
    wanted = arguments.commands
    with tempfile.TemporaryDirectory() as temporary:
        folder, killable = Path(temporary), list[Part]()
        tested = (f"checkpoint={folder / 'run_straight'}", *EVALUATE)
        for name, command in {
            "run": Command(run.main, RUN, TRAINED, arguments.kills),
            "evaluate": Command(evaluate.main, tested, TESTED, arguments.kills),
            "ranks": Command(run.main, RANKS, TRAINED, arguments.kills // 3, of_two=True),
        }.items():
            if name in wanted or (name == "run" and "evaluate" in wanted):  # which needs a trained network
                made = parts(name, command, folder, arguments.processes)
                killable += made if name in wanted else []
        counted = all_killed(killable)
    rows = (json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}) | counted
    write_json(arguments.out, rows)
    Path(__file__).with_suffix(".md").write_text(table(rows).markdown(), encoding="utf-8")


def all_killed(killable: Sequence[Part]) -> dict[str, dict[str, float]]:
    """Kill all at once, and add up what happened to each command."""
    found: dict[str, Counter[str]] = {}
    slowest: dict[str, float] = {}
    with ProcessPoolExecutor(len(killable), get_context("fork")) as pool:
        for part, (counted, seconds) in zip(killable, pool.map(killed, killable), strict=True):
            name = part.folder.name.partition("_")[0]
            found.setdefault(name, Counter()).update(counted)
            slowest[name] = max(slowest.get(name, 0.0), seconds)
    return {
        name: dict(sorted(counted.items())) | ({"seconds to the slowest end": slowest[name]} if slowest[name] else {})
        for name, counted in found.items()
    }


if __name__ == "__main__":
    main()
