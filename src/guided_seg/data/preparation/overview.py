"""Report on data: tasks per split and mode, class balance, broken files, and pictures of episodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from guided_seg.data.files.faults import leaving_out_broken
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes, shot_with
from guided_seg.data.frozen.freeze import Plan, select
from guided_seg.data.indexed import IndexedSource
from guided_seg.data.preparation.reading import broken_below
from guided_seg.data.source import MODES, SPLITS, Mode, Source
from guided_seg.data.sources.classes import as_split
from guided_seg.errors import BrokenFile
from guided_seg.report.balance import balance_chart, order
from guided_seg.report.panels import Panel, panels
from guided_seg.report.table import DASH, Cells, Table, columns

Balance = dict[str, dict[str, int]]
"""Split -> class or object -> its number of tasks."""

ROWS = 20
"""Maximum number of classes or objects in a table on the terminal; the last row sums up the others."""

UNREAD = "Only masks and the headers of images were read; `python -m guided_seg.data.prepare` decodes every image."


def overview(cfg: DictConfig, out: Path) -> Path:
    """Print the tables; write them to inspect.md, with a chart of the balance and a sheet of episodes per mode.

    Args:
        cfg: the composed config of ``guided_seg.data.inspect``.
        out: the output folder.

    Returns:
        The path of inspect.md.

    Raises:
        DataError: the data cannot be used; single broken files are only listed.
    """
    shown, console = as_split(cfg.sheet.split), Console(markup=False, highlight=False)
    make = instantiate(cfg.data.source)
    with leaving_out_broken(cfg.workers) as broken:
        sources: dict[str, Source] = {split: make(split=split) for split in SPLITS}
    modes = [mode for mode in MODES if any(mode in source.modes for source in sources.values())]
    balances: dict[Mode, Balance] = {
        mode: {split: balance(source, mode) for split, source in sources.items()} for mode in modes
    }
    faults = _faults(make.keywords.get("root"), list(broken.values()))
    pictures = list(_draw(cfg, sources[shown], balances, out))
    for table in _tables(balances, ROWS):
        console.print(table)
    for fault in faults:
        console.print(fault, soft_wrap=True, markup=False)
    path = out / "inspect.md"
    tables = [f"## {table.title}\n\n{table.markdown()}" for table in _tables(balances, None)]
    parts = [f"# {cfg.data.name}\n", *tables, _listed(faults), *pictures]
    path.write_text("\n".join(parts), encoding="utf-8")
    console.print(str(out), soft_wrap=True, markup=False)
    return path


def balance(source: Source, mode: Mode) -> dict[str, int]:
    """Number of fixed tasks per class or object, largest first, with one positive label.

    Example:
        >>> from guided_seg.data.shapes.shapes import Shapes
        >>> sum(balance(Shapes("test", size=32, tasks=16), "interactive").values())
        16
    """
    if mode not in source.modes:
        return {}
    if isinstance(source, IndexedSource):  # read its tables, which is faster
        tables: dict[Mode, dict[str, int]] = {
            "interactive": Counter(group for group, _ in source.objects),
            "semantic": {group: len(targets) for group, targets in source.classes.items()},
            "video": {group: len(targets) - 1 for group, targets in source.videos.items()},
        }
        return dict(Counter(tables[mode]).most_common())
    tasks = (source.fixed(mode, index, 1, np.random.default_rng(index)) for index in range(source.count(mode)))
    return dict(Counter(task.group for task in tasks).most_common())


def sheet(source: Source, mode: Mode, episodes: int, shots: int, points: int, seed: int) -> list[Panel]:
    """Fixed episodes of a mode as panels, without those with a broken file.

    The dots are those of an evaluation with the same ``seed``.
    """
    plan = Plan([mode], episodes, seeds=[seed], shots=shots, points=points)
    data = EvaluationEpisodes(source, select(source, "", plan))
    rows = []
    for number in range(len(data)):
        with suppress(BrokenFile):
            item = data[number]
            support = [shot_with(shot, dots) for shot, dots in zip(item.dense.support, item.dots, strict=True)]
            title = f"{mode} · {item.dense.meta['group']}"
            rows.append(Panel.of(item.with_support(support), title=title))
    return rows


def _tables(balances: Mapping[Mode, Balance], rows: int | None) -> list[Table]:
    return [_summary(balances), *(_by_group(mode, of_mode, rows) for mode, of_mode in balances.items())]


def _summary(balances: Mapping[Mode, Balance]) -> Table:
    """A table with a row per split and mode."""
    rows = []
    for split in SPLITS:
        for mode, of_mode in balances.items():
            counts = of_mode[split]
            names = [f"{name} ({number:,})" for name, number in counts.items()] or [DASH]
            rows.append((split, mode, sum(counts.values()), len(counts), names[0], names[-1]))
    head = ("split", "mode", "tasks", "classes or objects", "most", "fewest")
    return Table(columns(head, left=2, number=",d"), rows, "Tasks")


def _by_group(mode: Mode, of_mode: Balance, most: int | None) -> Table:
    names = order(of_mode)
    rows: list[Cells] = [(name, *(of_mode[split].get(name, 0) for split in SPLITS)) for name in names[:most]]
    if rest := names[len(rows) :]:
        rows.append((f"{len(rest)} more", *(sum(of_mode[split].get(name, 0) for name in rest) for split in SPLITS)))
    return Table(columns(("class or object", *SPLITS), number=",d"), rows, f"Tasks: {mode}")


def _faults(root: str | None, found: list[str]) -> list[str]:
    """A sentence per broken file, with paths relative to the root, and a note on what was not read."""
    if root is None:
        return [f"broken: {sentence}" for sentence in found]
    return [*broken_below(Path(root).expanduser().absolute(), found), UNREAD]


def _listed(faults: list[str]) -> str:
    return "## Files\n\n" + "".join(f"- {fault}\n" for fault in faults or ["none is broken"])


def _draw(cfg: DictConfig, source: Source, balances: Mapping[Mode, Balance], out: Path) -> Iterator[str]:
    """Write the pictures and yield the Markdown that shows them."""
    counted: Mode = "semantic" if "semantic" in balances else list(balances)[-1]
    chart = balance_chart(balances[counted], f"{counted} tasks", out / "classes.png")
    yield f"## Balance\n\n![{counted} tasks of each class or object]({chart.name})\n"
    for mode in source.modes:
        if rows := sheet(source, mode, cfg.sheet.episodes, cfg.sheet.shots, cfg.sheet.points, cfg.sheet.seed):
            picture = panels(rows, out / f"episodes_{mode}.png")
            yield f"## Episodes: {mode}, {cfg.sheet.split}\n\n![{mode} episodes]({picture.name})\n"
