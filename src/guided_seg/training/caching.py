"""Check, before work starts, that a run can train from a feature cache, and estimate the size of the cache."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.filesize import decimal

from guided_seg.data.datamodule import Episodes
from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.source import Source, Split
from guided_seg.errors import BrokenFile, CompositionError
from guided_seg.files.disk import check_space, free_space
from guided_seg.model.network import StagedNetwork
from guided_seg.settings.preflight import check_can_be_made
from guided_seg.training.feature_cache import SETTING, FeatureCache

_LOOKED_AT = 20  # images to estimate the mean size from
_PRECISION = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def open_cache(
    cfg: DictConfig, network: StagedNetwork, data: Episodes, tested: Sequence[FrozenEpisodes]
) -> FeatureCache | None:
    """Open the cache of ``cfg.feature_cache``, or return None if it is null. Print the expected size.

    Nothing is written before the first image is encoded.

    Args:
        cfg: the config of the main command.
        network: the network to train.
        data: data that is set up to fit and to test.
        tested: the episodes of the test.

    Raises:
        CompositionError: features change during training, or images never repeat.
        UserError: the folder cannot be created, or its disk is too full.
    """
    if cfg.feature_cache is None:
        return None
    _check_frozen(network)
    cache = FeatureCache(network.backbone, Path(cfg.feature_cache), network.decoder.uses_skips)
    check_can_be_made(cache.folder.absolute(), "feature cache", SETTING)
    precision = _PRECISION.get(cfg.trainer.precision, torch.float32)
    images = [_training(data, cfg.trainer.max_steps), *_evaluation(data, tested)]
    share = precision.itemsize / torch.float32.itemsize
    need = int(share * sum(number * cache.bytes_of(size) for number, size in images))
    there, free = cache.bytes_kept(precision), free_space(cache.folder.absolute())
    Console(markup=False).print(
        f"{SETTING}={cache.folder}: up to {sum(number for number, _ in images):,} images, about {decimal(need)} in "
        f"all; {decimal(there)} are there, {decimal(free)} are free.",
        soft_wrap=True,
        highlight=False,
    )
    check_space(cache.folder.absolute(), need - there, SETTING)
    return cache


class _Images(NamedTuple):
    """Maximum number of images to encode, and their mean height and width."""

    number: int
    size: tuple[int, int]


def _check_frozen(network: StagedNetwork) -> None:
    if network.update_cost == "full":
        raise CompositionError(
            f"{SETTING} keeps features that no annotation changes, but fusion=early_stack and early_mask encode images "
            "together with it, and baseline=fine_tune trains on it; choose fusion=late and another baseline, or "
            f"{SETTING}=null."
        )
    with torch.enable_grad():
        trained = any(level.requires_grad for level in network.backbone.trunk(torch.zeros(1, 3, 64, 64)))
    if trained:
        raise CompositionError(
            f"{SETTING} keeps what a frozen backbone makes of images, but this one is trained; add "
            "backbone.frozen=true, which needs a pretrained backbone such as backbone=efficientnet_lite0, or choose "
            f"{SETTING}=null."
        )


def _training(data: Episodes, steps: int) -> _Images:
    source, augment = _finite(data, "train"), data.augment
    draws = steps * data.batch_size * (1 + data.options.shots[1] * data.options.objects[1])
    if augment is None:
        return _Images(min(draws, len(source.image_keys())), _mean_size(source))
    if augment.variants is None:
        raise CompositionError(
            f"{SETTING} keeps what is asked for again, but each augmented crop is a new image; choose "
            f"data.augment=null, a number of crops of each image as in data.augment.variants=8, or {SETTING}=null."
        )
    # several objects of a task share a crop, so there is one per combination of objects
    crops = draws if data.options.objects[1] > 1 else augment.variants * len(source.targets())
    return _Images(min(draws, crops), (augment.size, augment.size))


def _evaluation(data: Episodes, tested: Sequence[FrozenEpisodes]) -> list[_Images]:
    validation = data.validation_episodes()
    return [_shown(_finite(data, "val"), [validation]), _shown(_finite(data, "test"), tested)]


def _shown(source: Source, episodes: Sequence[FrozenEpisodes]) -> _Images:
    """The images of evaluation episodes."""
    views = (view for part in episodes for episode in part.episodes for view in (episode.query, *episode.support))
    return _Images(min(len({view.key for view in views}), len(source.image_keys())), _mean_size(source))


def _finite(data: Episodes, split: Split) -> Source:
    source = data.source(split)
    if not source.targets():
        raise CompositionError(
            f"{SETTING} keeps what is asked for again, but data={source.name} makes new images without end; choose "
            f"other data, such as your own with data=folder, or {SETTING}=null."
        )
    return source


def _mean_size(source: Source) -> tuple[int, int]:
    keys = source.image_keys()
    sizes = []
    for key in keys[:: -(-len(keys) // _LOOKED_AT)]:
        with suppress(BrokenFile):  # counted during training, and fatal if there are many
            sizes.append(source.load(key).labels.shape)
    return tuple(round(sum(sides) / len(sides)) for sides in zip(*sizes, strict=True)) if sizes else (1, 1)
