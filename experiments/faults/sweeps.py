"""Do a run, a sweep and Optuna's trials leave the same folders and scores with two processes a job as with one?

python experiments/faults/sweeps.py [run] [sweep] [optuna]
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))
from support.processes import ended

from guided_seg.files.writing import write_json
from guided_seg.report.table import Table, columns

OUT = Path(__file__).with_name("sweeps.json")
TINY = (
    *("+experiment=late_global", "data.size=48", "backbone.width=16", "backbone.blocks=1", "num_workers=0"),
    *("data.training.batch_size=4", "data.training.val_episodes=4", "data.training.validate_every=3", "logger=csv"),
    *("trainer.max_steps=6", "trainer.log_every_n_steps=1", "trainer.enable_progress_bar=false"),
    *(
        "trainer=ddp",
        "trainer.accelerator=cpu",
        "evaluation.episodes=4",
        "evaluation.shots=[1]",
        "evaluation.points=[5]",
    ),
)
OPTUNA = ("-m", "sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.seed=0")
KINDS = {
    "run": ("output_dir=out",),
    "sweep": ("-m", "hydra.sweep.dir=out", "hydra.sweep.subdir=${hydra:job.num}", "seed=0,1,2"),
    "optuna": (
        *OPTUNA,
        "hydra.sweep.dir=out",
        "hydra.sweep.subdir=${hydra:job.num}",
        "data.training.lr=interval(1e-4,1e-2)",
    ),
}
LIMIT = 1200
"""Seconds after which a command counts as hung."""


class Compared(NamedTuple):
    """What a command with two processes a job left, against one with one.

    Attributes:
        jobs: folders with metrics.json.
        files: files and folders in all.
        strays: those that only one of the two commands left.
        score: the largest difference of a score in metrics.json, of validation, or of the best trial.
        loss: the largest difference of a training loss.
    """

    jobs: int
    files: int
    strays: list[str]
    score: float
    loss: float


def compared(one: Path, two: Path) -> Compared:
    """Compare all that two commands have left in the folders that they ran in."""
    trees = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in (one, two)]
    jobs = sorted(path.parent.relative_to(one) for path in one.rglob("metrics.json"))
    scores, losses = [0.0], [0.0]
    for job in jobs:
        ours, theirs = (dict(_figures(folder / job)) for folder in (two, one))
        assert ours.keys() == theirs.keys(), job
        for name, value in theirs.items():
            (losses if "train/" in name else scores).append(abs(ours[name] - value))
    for results in one.rglob("optimization_results.yaml"):
        best, other = (yaml.safe_load(path.read_text()) for path in (results, two / results.relative_to(one)))
        assert best["best_params"] == other["best_params"]
        scores.append(abs(best["best_value"] - other["best_value"]))
    return Compared(len(jobs), len(trees[1]), sorted(trees[0] ^ trees[1]), max(scores), max(losses))


def _figures(job: Path) -> Iterator[tuple[str, float]]:
    """The figures of metrics.json and metrics.csv, but for times and the IoU of single training batches."""
    yield from _numbers(
        "", {name: part for name, part in json.loads((job / "metrics.json").read_text()).items() if name != "run"}
    )
    with (job / "metrics.csv").open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            yield from (
                (f"{number} {name}", float(value))
                for name, value in row.items()
                if value and name != "train/iou" and not name.startswith("run/")
            )


def _numbers(name: str, part: Any) -> Iterator[tuple[str, float]]:
    if isinstance(part, dict | list):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            yield from _numbers(f"{name}/{key}", value)
    elif part is not None:
        yield name, float(part)


def ran(folder: Path, words: tuple[str, ...], processes: int) -> Path:
    """Run the main command in a folder; fails where it does, and where it leaves something among temporary files."""
    temporary = folder.with_name(f"{folder.name}-temporary")
    for each in (folder, temporary):
        each.mkdir(parents=True)
    options = [word for word in words if word.startswith("-")]
    values = [word for word in words if not word.startswith("-")]
    line = (*options, *TINY, *values, f"trainer.devices={processes}")
    done = ended(sys.executable, "-m", "guided_seg.run", *line, limit=LIMIT, folder=folder, TMPDIR=str(temporary))
    assert done.returncode == 0, done.stdout + done.stderr
    left = [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")]  # PyTorch's cache
    assert not left, left
    return folder


def table(rows: dict[str, dict[str, Any]]) -> Table:
    """A kind of command in each row."""
    names = {"run": "run", "sweep": "sweep of 3 jobs", "optuna": "4 trials of Optuna"}
    head = ("two processes a job", "jobs", "files and folders", "strays", "scores differ by", "losses differ by")
    lines = [
        (said, row["jobs"], row["files"], len(row["strays"]), f"{row['score']:.1g}", f"{row['loss']:.1g}")
        for name, said in names.items()
        if (row := rows.get(name))
    ]
    return Table(columns(head), lines)


def main(asked: Sequence[str]) -> None:
    """Compare the kinds of commands; the others stay as they were."""
    with tempfile.TemporaryDirectory() as temporary:
        for name in asked or KINDS:
            one, two = (ran(Path(temporary) / f"{name}-{each}", KINDS[name], each) for each in (1, 2))
            rows = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
            rows[name] = compared(one, two)._asdict()
            write_json(OUT, rows)
            Path(__file__).with_suffix(".md").write_text(table(rows).markdown(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
