"""What the config groups can compose, read from their files, so that a new one is found by existing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from guided_seg.composition.build import ARCHITECTURE, choices
from guided_seg.errors import CompositionError

Composed = Callable[..., DictConfig]

CONF = files("guided_seg.conf")
GROUPS = {
    group.name: sorted(
        file.name.removesuffix(".yaml")
        for file in group.iterdir()
        if file.name.endswith(".yaml") and not file.name.startswith("_")
    )
    for group in CONF.iterdir()
    if group.is_dir() and not group.name.startswith("_")
}


CORE = ("fusion", "annotation", "locality", "merge", "conditioning")
"""The choices that are crossed; each of the others is tried alone, with the defaults of the rest."""


def options(group: str, name: str) -> dict[str, Any]:
    file = OmegaConf.create((CONF / group / f"{name}.yaml").read_text())  # which knows 1e-3 as a number
    return cast("dict[str, Any]", OmegaConf.to_container(file))


@cache
def whole(group: str, name: str) -> dict[str, Any]:
    """The file with those that it builds on."""
    own = options(group, name)
    bases = [base for base in own.pop("defaults", []) if base != "_self_"]
    return {key: value for base in bases for key, value in whole(group, base).items()} | own


def refusal(chosen: dict[str, str]) -> str | None:
    """What composing these choices is answered with, if it is refused."""
    names = {"resolution": "native", "decoder": "bilinear", **chosen}
    cfg = OmegaConf.create({group: whole(group, name) for group, name in names.items()})
    try:
        choices(cfg).check()
    except CompositionError as error:
        return str(error)
    return None


CROSSED = [dict(zip(CORE, names, strict=True)) for names in product(*(GROUPS[group] for group in CORE))]
REFUSED = [(chosen, sentence) for chosen in CROSSED if (sentence := refusal(chosen))]


def _alone() -> Iterator[dict[str, str]]:
    for group in ARCHITECTURE:
        if group not in CORE:
            yield from ({group: name} for name in GROUPS[group])
    for backbone, resolution in product(GROUPS["backbone"], GROUPS["resolution"]):
        if resolution != "native":
            yield {"backbone": backbone, "resolution": resolution, "decoder": "skips"}
    for name in GROUPS["baseline"]:
        yield {"baseline": name, "decoder": "skips"}
    yield {"locality": "set", "conditioning": "fused", "decoder": "carried"}


def overrides_of(chosen: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{group}={name}" for group, name in chosen.items())


LEGAL = [overrides_of(chosen) for chosen in CROSSED if refusal(chosen) is None]
ALONE = [overrides_of(chosen) for chosen in _alone()]


def names_of(overrides: tuple[str, ...]) -> str:
    return "-".join(name.split("=")[1] for name in overrides)


def narrow(composed: Composed, *overrides: str) -> DictConfig:
    """Without pretrained weights, and with few channels: fc6 of the paper's VGG alone has 103 million weights."""
    # composing takes longer than most networks; test_every_file_composes compares both ways
    keys = [word.partition("=")[0] for word in overrides]
    further = {key.partition(".")[0] for key in keys if "." in key}
    named = dict(word.split("=") for word in overrides if "." not in word)
    groups = {group: name for group, name in named.items() if group in {*ARCHITECTURE} - further}
    cfg = composed(*(word for word, key in zip(overrides, keys, strict=True) if key not in groups))
    for group, name in groups.items():
        cfg[group] = whole(group, name)
    for key, value in (("weights", "random"), ("width", 16)):
        if key in cfg.backbone:
            cfg.backbone[key] = value
    return cfg
