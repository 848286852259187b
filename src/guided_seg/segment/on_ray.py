"""The same job on Ray: several processes, on this machine or a cluster, fill the folder of label maps.

Files that a process has segmented are kept at once, image by image, in the folder that the result is made from. So a
job that was stopped goes on there, whichever engine began it, and an image that all processes have failed at is tried
again, and reported, where the result is written.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from guided_seg.errors import UserError
from guided_seg.formats.inputs import Input
from guided_seg.formats.kept import KeptMaps
from guided_seg.formats.saving import Begin
from guided_seg.segment.progress import Bar
from guided_seg.session import Session

BATCH = 8
"""Images that a process is given at once."""

NEEDED = ("ray", "pyarrow", "pandas")
"""Packages of the extra ``ray``."""

_SESSION = "support.session"


def check_installed() -> None:
    """Raise `UserError` if Ray Data is not installed."""
    for package in NEEDED:
        if find_spec(package) is None:
            raise UserError(f"engine=ray needs the package {package}: pip install 'guided_seg[ray]'.")


class Segmenter:
    """Segments image files in a process of Ray, and keeps their label maps.

    Args:
        session: a saved session.
        settings: of `Session.open`.
        refined: keep refined answers.
        folder: the folder of label maps, which all processes share.
    """

    def __init__(self, session: str, settings: dict[str, Any], refined: bool, folder: str) -> None:
        self._session, self._refined, self._kept = Session.open(session, **settings), refined, KeptMaps(Path(folder))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Segment a batch of images, one after another; says which of them were kept."""
        rows = zip(*(batch[key].tolist() for key in ("path", "image", "version")), strict=True)
        return {"path": batch["path"], "kept": [self._one(*row) for row in rows]}

    def _one(self, path: str, image: str, version: str) -> bool:
        from guided_seg.data.images import read_image

        if not self._kept.has(image, version):
            try:
                labels = self._session.segment_pixels(read_image(Path(path)), refined=self._refined)
            except UserError:
                return False  # the process that writes the result finds it too, and reports it
            self._kept.keep(image, version, labels)
        return True


def on_ray(cfg: DictConfig, session: Session, bar: Bar) -> Begin:
    """What `write_files` begins with, so that processes of Ray segment its files.

    Args:
        cfg: the config of the command.
        session: the session.
        bar: shows how far they are.
    """

    def begin(missing: Sequence[Input], kept: KeptMaps) -> None:
        if not missing:
            return
        kept.folder.mkdir(parents=True, exist_ok=True)
        saved = session.save(kept.folder / _SESSION)
        # what auto has chosen here, so that all processes answer alike
        settings = {"device": cfg.device, "precision": session.precision, "cache_mb": cfg.cache_mb}
        made = {"session": str(saved), "settings": settings, "refined": cfg.refined, "folder": str(kept.folder)}
        rows = [{"path": str(each.file), "image": each.image, "version": each.version} for each in missing]
        _run(cfg, rows, made, bar)

    return begin


def _run(cfg: DictConfig, rows: list[dict[str, str]], made: dict[str, Any], bar: Bar) -> None:
    import ray
    from ray.data import ActorPoolStrategy, DataContext, from_items

    own = not ray.is_initialized()
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"ray\.")
    if own:
        here = {"num_cpus": cfg.workers, "include_dashboard": False} if cfg.address is None else {}
        # its core logs an error about every pool of actors, that their arguments may be lost, and that its level is set
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        try:
            with _without_stderr():
                ray.init(cfg.address, log_to_driver=False, logging_level=logging.ERROR, **here)
        except Exception as error:
            raise UserError(
                f"Ray cannot be started or reached with address={cfg.address} ({error}); start a cluster with "
                "ray start --head, or leave address out to use this machine."
            ) from error
    try:
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        blocks = max(-(-len(rows) // BATCH), min(cfg.workers, len(rows)))
        segmented = from_items(rows, override_num_blocks=blocks).map_batches(
            Segmenter,
            batch_size=BATCH,
            compute=ActorPoolStrategy(size=cfg.workers),
            fn_constructor_kwargs=made,
            num_cpus=1,
            num_gpus=1 if str(cfg.device).startswith("cuda") else None,
        )
        done = 0
        for batch in segmented.iter_batches(batch_size=None):
            done += len(batch["path"])
            bar.elsewhere(done, len(rows))
    finally:
        if own:
            ray.shutdown()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Drop meanwhile what libraries write to the stderr of this process."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
