"""Test a network in every mode at every (S, P), and report the results."""

from __future__ import annotations

import csv
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import InstantiationException
from pytorch_lightning import Trainer
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from guided_seg.data.datamodule import Episodes
from guided_seg.data.sampling.points import Setting
from guided_seg.data.source import Mode
from guided_seg.errors import UserError
from guided_seg.loggers.loggers import log_image, log_results
from guided_seg.report.drawing import iou_curve
from guided_seg.report.panels import panels
from guided_seg.report.results import Results, Score, lacking, setting_key
from guided_seg.training.module import EpisodicSegmentation
from guided_seg.training.test_panels import CollectPanels


def score_modes(
    trainer: Trainer, module: EpisodicSegmentation, data: Episodes, modes: list[Mode]
) -> tuple[Results, CollectPanels]:
    """Test each mode. Return the scores and the first episodes of each mode with their predictions."""
    shown = [setting for setting in module.settings if setting[1] is not None] or module.settings
    collector = CollectPanels(min(shown, key=lambda setting: (setting[0], abs((setting[1] or 5) - 5))))
    trainer.callbacks.append(collector)  # type: ignore[attr-defined]
    try:
        trainer.test(module, [data.test_loader(mode) for mode in modes], verbose=False)
    finally:
        trainer.callbacks.remove(collector)  # type: ignore[attr-defined]
    return named(module), collector


def named(module: EpisodicSegmentation) -> Results:
    """The results of the last test by setting name, such as ``s1_p5``."""
    fewer = module.fewer()
    return {
        mode: {
            setting_key(shots, points or "dense"): Score(
                **score, **lacking(*fewer.get((mode, (shots, points)), (0, 0)))
            )
            for (shots, points), score in scores.items()
        }
        for mode, scores in module.results().items()
    }


def write_groups(found: Iterable[tuple[Mode, Setting, str, float]], path: Path) -> None:
    """Write the IoU of every class or object at every (S, P) to a CSV file."""
    rows = [(mode, shots, points or "dense", group, f"{iou:.4f}") for mode, (shots, points), group, iou in found]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("mode", "shots", "points", "group", "iou"), *rows])


def draw(results: Results, collector: CollectPanels, folder: Path, loggers: list[Logger], step: int) -> None:
    """Write the panels of each mode and the curve of IoU against P, and log them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {mode: list(shown.values()) for mode, shown in collector.rows.items()}
    pictures = {f"episodes_{mode}": panels(shown, folder / f"episodes_{mode}.png") for mode, shown in rows.items()}
    first = [panel for shown in rows.values() for panel in shown[:2]]
    pictures["episodes"] = panels(first, folder / "episodes.png")
    pictures["iou_against_points"] = iou_curve(results, folder / "iou_against_points.png")
    for name, path in pictures.items():
        log_image(loggers, f"test/{name}", path, step)
    log_results(loggers, results, step)


@contextmanager
def lightning_refusals(setting: str) -> Iterator[None]:
    """Convert errors of Lightning's Trainer, such as for a missing GPU, to a `UserError` about ``setting``."""
    try:
        yield
    except (ValueError, TypeError, MisconfigurationException, InstantiationException) as error:
        raise UserError(f"{setting}: {_first_sentence(error.__cause__ or error)}") from error


def _first_sentence(error: BaseException) -> str:
    """The first line; and the next, if the first ends in mid-sentence (what was found, after what was expected)."""
    first, *rest = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return first if first.endswith((".", "!")) or not rest else f"{first} {rest[0]}"


def quiet_lightning() -> None:
    """Silence Lightning except for progress bars, tables and errors."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    known = (".*does not have many workers.*", ".*LeafSpec.*", ".*exists and is not empty.*")
    agreed = ".*recommended to use `self.log.*sync_dist=True.*"  # processes agree on each metric before it is logged
    frozen = ".*in eval mode at the start of training.*"  # see Backbone.freeze
    for message in (*known, agreed, frozen):
        warnings.filterwarnings("ignore", message)
