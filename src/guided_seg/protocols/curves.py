"""Plot a protocol's figures against dots, clicks or, in interactive video, the budget."""

from __future__ import annotations

import os
from pathlib import Path

from guided_seg.protocols.scores import Scored, Setting
from guided_seg.protocols.statistics import Interval
from guided_seg.report.drawing import iou_curve
from guided_seg.report.results import Results, Score, parse_setting, setting_key


def curve(found: Scored, path: str | os.PathLike[str]) -> Path | None:
    """Plot a line with 95 % intervals for each mode and S.

    Args:
        found: the scores of a protocol. The plot shows its first figure against P, or ``IoU@n`` against n clicks.
        path: the image file to write.

    Returns:
        The path, or None if there is only one setting.
    """
    results: Results = {}
    name = next(iter(found["settings"][0]["figures"]))
    clicks = any(figure.startswith("IoU@") for figure in found["settings"][0]["figures"])
    for setting in found["settings"]:
        scores = results.setdefault(setting["mode"], {})
        for key, interval in _after_clicks(setting).items() if clicks else [(_key(setting), setting["figures"][name])]:
            scores[key] = _score(interval, setting["episodes"])
    if len({parse_setting(key)[1] for scores in results.values() for key in scores}) < 2:
        return None
    axes = ("clicks", "mean IoU") if clicks else ("dots per label and annotated image", name)
    return iou_curve(results, path, *axes)


def _key(setting: Setting) -> str:
    points = setting["points"]
    return setting_key(setting["shots"], "dense" if points == "dense" else int(points))


def _after_clicks(setting: Setting) -> dict[str, Interval]:
    return {
        setting_key(1, int(figure.removeprefix("IoU@"))): interval
        for figure, interval in setting["figures"].items()
        if figure.startswith("IoU@")
    }


def _score(interval: Interval, episodes: int) -> Score:
    return {
        "positive_iou": interval["value"],
        "mean_iou": interval["value"],
        "ci95": interval["ci95"],
        "episodes": episodes,
    }
