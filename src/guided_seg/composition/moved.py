"""Map old locations of classes in checkpoints, released models and configs to current ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MODEL = {
    "annotation": "guide.annotation",
    "baseline": "baselines.baseline",
    "fine_tune": "baselines.fine_tune",
    "fused": "heads.fused",
    "fusion": "guide.fusion",
    "locality": "guide.locality",
    "merge": "guide.merge",
    "neck": "backbones.neck",
    "pretrained": "backbones.pretrained",
    "vgg": "backbones.vgg",
}
_DATA = {
    "points": "sampling.points",
    "camvid": "sources.camvid",
    "coco": "coco.coco",
    "davis": "sources.davis",
    "folder": "sources.folder",
    "fss1000": "sources.fss1000",
    "mixture": "sources.mixture",
    "sbd": "sources.sbd",
    "shapes": "shapes.shapes",
    "transforms": "sampling.transforms",
    "voc": "sources.voc",
}
MOVED = {
    f"guided_seg.{room}.{old}": f"guided_seg.{room}.{new}"
    for room, moves in (("model", _MODEL), ("data", _DATA))
    for old, new in moves.items()
} | {f"guided_seg.training.{name}": f"guided_seg.loggers.{name}" for name in ("metrics_file", "wandb_run")}
"""Old module -> new module, for all classes that a stored config may name."""


def current(target: str) -> str:
    """The current dotted name of a class.

    Example:
        >>> current("guided_seg.model.merge.Mean"), current("mine.Merge")
        ('guided_seg.model.guide.merge.Mean', 'mine.Merge')
    """
    module, _, name = target.rpartition(".")
    return f"{MOVED.get(module, module)}.{name}"


_LOCALITY = "guided_seg.model.guide.locality"
_SETS = {"guided_seg.model.conditioning.NearestNeighbors": None, "guided_seg.model.heads.fused.Fused": 256}
"""Conditionings that read sets, with the limit of their sets when ``locality=local`` still included sets."""


def renamed(config: Any) -> Any:
    """Update every ``_target_`` in a plain config, and replace ``local`` by ``locality=set`` in configs that meant it.

    Example:
        >>> old = {
        ...     "locality": {"_target_": "guided_seg.model.locality.Local"},
        ...     "conditioning": {"_target_": "guided_seg.model.fused.Fused"},
        ... }
        >>> renamed(old)["locality"]
        {'_target_': 'guided_seg.model.guide.locality.Set', 'limit': 256}
    """
    if isinstance(config, list):
        return [renamed(entry) for entry in config]
    if not isinstance(config, Mapping):
        return config
    now = {
        key: current(value) if key == "_target_" and isinstance(value, str) else renamed(value)
        for key, value in config.items()
    }
    reader = _target(now.get("conditioning"))
    if isinstance(reader, str) and reader in _SETS and _target(now.get("locality")) == f"{_LOCALITY}.Local":
        now["locality"] = {"_target_": f"{_LOCALITY}.Set", "limit": _SETS[reader]}
    return now


def _target(part: Any) -> Any:
    return part.get("_target_") if isinstance(part, Mapping) else None
