"""The job of the batch command: support, queries, progress, and what is said at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from guided_seg.formats import Result, kind_of, write_files
from guided_seg.segment.on_ray import check_installed, on_ray
from guided_seg.segment.progress import Bar, left_out
from guided_seg.segment.queries import find_queries
from guided_seg.segment.support_session import open_support

SOME_LEFT_OUT = 1
"""Exit code if some images were left out."""


def run(cfg: DictConfig, words: Sequence[str]) -> None:
    """Segment what the words name, write it, and say what was done.

    Args:
        cfg: the config of the command.
        words: images, globs, folders and videos, as they were written.

    Raises:
        UserError: a setting or a file cannot be used.
        SystemExit: some images were left out; or Ctrl-C was pressed.
    """
    kind, out = kind_of(cfg.format), Path(cfg.output_dir).expanduser()
    if cfg.engine == "ray":
        check_installed()
    session = open_support(cfg)
    queries = find_queries(words, session, kind, out)
    with Bar() as bar:
        begin = on_ray(cfg, session, bar) if cfg.engine == "ray" else None
        try:
            done = write_files(session, out, kind.name, queries.files, queries.names, bar, cfg.refined, begin)
        except KeyboardInterrupt:
            bar.say(f"Stopped. The same command goes on: what was segmented is kept in {out}.")
            raise
    _summarise(done, out)
    if done.left_out:
        raise SystemExit(SOME_LEFT_OUT)


def _summarise(done: Result, out: Path) -> None:
    """Say what was written, and name what was left out."""
    console, errors = (Console(stderr=stderr, markup=False, highlight=False) for stderr in (False, True))
    for name, why in done.left_out.items():
        errors.print(left_out(name, why), soft_wrap=True)
    without = f"; {len(done.left_out):,} left out" if done.left_out else ""
    before = " before, so nothing was to be done" if done.before else ""
    console.print(f"{out}: {done.images:,} images written{before}{without}.", soft_wrap=True)
