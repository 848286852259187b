"""Prepare a data set: download and unpack its archives, decode every file, and report."""

from __future__ import annotations

import shlex
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from guided_seg.data.preparation.archives import Archive, missing
from guided_seg.data.preparation.download import obtain
from guided_seg.data.preparation.extract import staged, unpack
from guided_seg.data.preparation.reading import broken_below, read_all


def provide(cfg: DictConfig, command: str = "python -m guided_seg.data.prepare") -> Path | None:
    """Download, unpack and check the data of ``cfg.data``.

    Args:
        cfg: the composed config of ``guided_seg.data.prepare``.
        command: the command line, for messages.

    Returns:
        The data root, or None if the data has no files.

    Raises:
        DataError: an archive is unavailable or damaged, or does not fit on the disk; or the data cannot be used.
    """
    console, make = Console(markup=False, highlight=False, soft_wrap=True), instantiate(cfg.data.source)
    if "root" not in make.keywords:
        own = "made of other data; prepare each by its own name" if "sources" in cfg.data else "not made of files"
        console.print(f"{cfg.data.name} is {own}, so there is nothing to prepare.")
        return None
    root = Path(make.keywords["root"]).expanduser().absolute()
    if needed := needed_archives(cfg, root):
        console.print(f"The licence of {cfg.data.name}: {cfg.official[cfg.data.name].licence}.")
        bring(needed, root, _archive_folder(cfg, root), _again(cfg, command, root))
        console.print(f"Unpacked {', '.join(a.name for a in needed)}, which may be removed, to {root}.")
    found, broken = read_all(make, cfg.workers)
    for split, there in found.items():
        counts = ", ".join(f"{number:,} {name}" for name, number in there._asdict().items())
        console.print(f"{split}: {counts}")
    for line in [*broken_below(root, broken), str(root)]:
        console.print(line)
    return root


def needed_archives(cfg: DictConfig, root: Path) -> list[Archive]:
    """The official archives of ``cfg.data`` that ``root`` lacks. Raises `DataError` if it has a part of one."""
    if cfg.data.name not in cfg.official:
        return []
    official = cfg.official[cfg.data.name]
    if any(all((root / name).exists() for name in layout) for layout in official.get("instead", ())):
        return []
    archives = [Archive(**entry) for entry in official.archives]
    return missing([archive for archive in archives if archive.suits(cfg.data)], root)


def bring(needed: list[Archive], root: Path, archives: Path, again: str) -> None:
    """Download archives and unpack them to ``root`` atomically.

    Args:
        needed: the archives.
        root: the data root.
        archives: folder of existing and downloaded archives.
        again: the command to repeat, for the message about manual downloads.

    Raises:
        DataError: see `obtain`, `staged` and `unpack`.
    """
    with staged(root) as stage:  # first, so that a read-only root is refused before a download
        for archive, path in zip(needed, obtain(needed, archives, again), strict=True):
            unpack(path, archive, stage)


def _archive_folder(cfg: DictConfig, root: Path) -> Path:
    return Path(cfg.archives).expanduser().absolute() if cfg.archives else root.parent


def _again(cfg: DictConfig, command: str, root: Path) -> str:
    choosing = {name for archive in cfg.official[cfg.data.name].archives for name in archive.get("when", ())}
    words = [f"data={cfg.data.name}", f"data.root={root}", *(f"data.{name}={cfg.data[name]}" for name in choosing)]
    if cfg.archives:
        words.append(f"archives={_archive_folder(cfg, root)}")
    return f"{command} {shlex.join(words)}"
