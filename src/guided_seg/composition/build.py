"""Build networks and data from a composed config."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from typing import TYPE_CHECKING, Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from guided_seg.composition.trust import NETWORK, data_parts, unknown_settings
from guided_seg.data.sampling.points import Setting, settings_of
from guided_seg.data.source import MODES, Mode, Source
from guided_seg.errors import CompositionError, UserError
from guided_seg.model.backbone import Backbone, Blank
from guided_seg.model.guide.fusion import Early, Fusion
from guided_seg.model.guide.guide import Guide
from guided_seg.model.network import GuidedNetwork, Network, StagedNetwork
from guided_seg.model.rules import Choices
from guided_seg.settings.episode_options import EpisodeOptions
from guided_seg.settings.preflight import check_settings

if TYPE_CHECKING:
    from guided_seg.data.datamodule import Episodes

ARCHITECTURE = tuple(NETWORK)
"""The config groups that define the network."""


def check_known(cfg: DictConfig) -> None:
    """Refuse settings that the chosen classes do not have, such as those of an experiment for other classes.

    Raises:
        CompositionError: there are unknown settings; the message has the overrides that remove them.
    """
    classes = {group: get_class(cfg[group]._target_) for group in ARCHITECTURE if "_target_" in cfg[group]}
    unknown = [(group, name) for group, kind in classes.items() for name in unknown_settings(kind, cfg[group])]
    if unknown:
        group, name = unknown[0]
        raise CompositionError(
            f"{group} is {classes[group].__name__}, which has no setting {name}; choose another {group}=..., or remove "
            f"the settings of the other one: {' '.join(repr(f'~{group}.{name}') for group, name in unknown)}"
        )


def build_network(cfg: DictConfig) -> StagedNetwork:
    """Build the network from the groups in `ARCHITECTURE`.

    Raises:
        CompositionError: two choices are incompatible.
    """
    kind, make = get_class(cfg.baseline._target_), instantiate(cfg.baseline, _partial_=True)
    if not issubclass(kind, GuidedNetwork):
        backbone = _backbone(cfg)
        decoder = _with(cfg.decoder, skip_channels=backbone.skip_channels)
        return make(backbone=backbone, channels=backbone.channels, decoder=decoder)
    chosen = choices(cfg)
    chosen.check()
    fusion = _fusion(cfg, chosen.fusion)
    support = fusion.encoder if isinstance(fusion, Early) else None
    backbone = _backbone(cfg) if support is None or chosen.conditioning.reads_query else Blank(support)
    channels = (support or backbone).channels
    guide = Guide(fusion, _with(cfg.merge, channels=channels), channels)
    conditioning = _with(cfg.conditioning, channels=channels, guides=1 if fusion.joint else None)
    decoder = _with(cfg.decoder, skip_channels=backbone.skip_channels, maps=conditioning.maps)
    return make(backbone=backbone, guide=guide, conditioning=conditioning, decoder=decoder)


def _backbone(cfg: DictConfig) -> Backbone:
    backbone: Backbone = instantiate(cfg.backbone)
    # checkpoints of earlier versions lack both
    backbone.longest, backbone.enlarge = cfg.resolution.get("longest"), cfg.resolution.get("enlarge", False)
    if backbone.enlarge and backbone.longest is None:
        raise CompositionError(
            "resolution.enlarge=true enlarges images to resolution.longest, which is null; set it, as in "
            "resolution.longest=512."
        )
    if backbone.longest is not None and backbone.border:
        raise CompositionError(
            "resolution.longest reduces images, and backbone.border counts pixels around them as they are; choose "
            "resolution.longest=null or backbone.border=false."
        )
    if backbone.border and cfg.decoder.get("honour", False):
        raise CompositionError(
            "decoder.honour=true takes the feature grid to span the image, and backbone.border=true pads the image; "
            "choose decoder.honour=false or backbone.border=false."
        )
    return backbone


def choices(cfg: DictConfig) -> Choices:
    """The classes of a guided network in ``cfg``, to check their compatibility."""
    return Choices(
        **{name: get_class(cfg[name]._target_) for name in ("fusion", "annotation", "locality", "merge")},
        conditioning=get_class(cfg.conditioning._target_),
        decoder=get_class(cfg.decoder._target_),
        interpolation=cfg.resolution.interpolation,
        longest=cfg.resolution.get("longest"),
        roles=cfg.fusion.get("roles", "per_label"),
        scorer=cfg.conditioning.get("scorer", "joint"),
        matching=cfg.conditioning.get("matching", False),
        honour=cfg.decoder.get("honour", False),
    )


def _fusion(cfg: DictConfig, kind: type[Fusion]) -> Fusion:
    parts: dict[str, Any] = {"locality": instantiate(cfg.locality)}
    if issubclass(kind, Early):
        # the guide's own encoder must learn to read annotations, so it is never frozen
        trained = {"frozen": False} if "frozen" in cfg.backbone else {}
        parts["encoder"] = instantiate(cfg.backbone, **trained)
    else:
        parts |= {"annotation": instantiate(cfg.annotation), "interpolation": cfg.resolution.interpolation}
    return instantiate(cfg.fusion, _partial_=True)(**parts)


def _with(node: DictConfig, **facts: Any) -> Any:
    """Instantiate ``node`` with those of the facts that its class accepts."""
    asked = signature(get_class(node._target_)).parameters
    return instantiate(node, _partial_=True)(**{key: value for key, value in facts.items() if key in asked})


def network_config(cfg: DictConfig) -> dict[str, Any]:
    """The config that defines the network and that a resume must share, as plain values for a checkpoint."""
    plain = {name: OmegaConf.to_container(cfg[name], resolve=True) for name in (*ARCHITECTURE, "data")}
    return plain | {"name": cfg.name, "seed": cfg.seed, "length": _length(cfg)}


def _length(cfg: DictConfig) -> dict[str, int]:
    return {
        "trainer.max_steps": cfg.trainer.max_steps,
        "data.training.validate_every": cfg.data.training.validate_every,
    }


def build_data(cfg: DictConfig) -> Episodes:
    """Build the data module of the training modes."""
    training = cfg.data.training
    # passed to the object, not to Hydra, which would convert dataclasses to configs
    make = instantiate(cfg.mode, _partial_=True)
    return make(
        source=instantiate(cfg.data.source),
        augment=instantiate(cfg.data.augment),
        points=instantiate(cfg.episode.points),
        options=EpisodeOptions.of(cfg.episode),
        batch_size=training.batch_size,
        steps_per_epoch=steps_per_epoch(cfg.trainer.max_steps, training.validate_every),
        val_episodes=training.val_episodes,
        eval_objects=cfg.evaluation.objects,
        eval_batch_size=cfg.evaluation.batch_size,
        num_workers=cfg.num_workers,
        seed=cfg.seed,
        eval_seed=cfg.evaluation.seed,
        limit_val=cfg.trainer.limit_val_batches,
    )


def steps_per_epoch(steps: int, validate_every: int) -> int:
    """Training batches between validations: at most ``validate_every``, and such that the last step is validated.

    Example:
        >>> steps_per_epoch(800, 200), steps_per_epoch(500, 200), steps_per_epoch(2, 200)
        (200, 125, 2)
    """
    fewest = -(-steps // validate_every)
    exact = (number for number in range(fewest, 2 * fewest + 1) if steps % number == 0)
    return steps // next(exact, fewest)


def requested_modes(cfg: DictConfig, data: DictConfig) -> list[Mode]:
    """The modes of the group ``mode``, or those of ``evaluation`` without one. ``data`` is the data config."""
    if not cfg.get("mode"):
        return known_modes(cfg.evaluation.modes)
    make = instantiate(cfg.mode, _partial_=True)
    return known_modes(make(source=instantiate(data.source)).requested)


def data_to_test(cfg: DictConfig, trained: DictConfig) -> DictConfig:
    """The data config of ``cfg``, or of the network's training, with the same paths on this machine.

    Raises:
        UserError: neither has data, or the checkpoint names a class that is not a data source.
    """
    # the user may compose anything, but the content of a file is checked
    return cfg.get("data") or OmegaConf.create(data_parts(trained.get("data"), cfg.checkpoint))


def settings(cfg: DictConfig) -> list[Setting]:
    """The (S, P) of ``evaluation``.

    Raises:
        UserError: a number of shots, dots or episodes is invalid.
    """
    check_settings(cfg)
    dots = [None if points == "dense" else points for points in cfg.evaluation.points]
    return [(shots, points) for shots in cfg.evaluation.shots for points in dots]


def usable_modes(network: Network, wanted: list[Mode]) -> list[Mode]:
    """Those of ``wanted`` that the network supports; local guidance needs support and query to be one image."""
    return [mode for mode in wanted if mode == "interactive" or not network.needs_same_image]


def known_modes(names: Iterable[str]) -> list[Mode]:
    """The modes of these names, in the order of `MODES`. Raises `UserError` for an unknown one."""
    names = list(names)
    if unknown := [name for name in names if name not in MODES]:
        raise UserError(f"There is no mode '{unknown[0]}'; choose from {', '.join(MODES)}.")
    return [mode for mode in MODES if mode in names]


def modes_to_test(network: Network, source: Source, wanted: list[Mode], asked: list[Setting]) -> list[Mode]:
    """Those of ``wanted`` that the network, the data and the settings support.

    Raises:
        UserError: none is left.
    """
    there = [mode for mode in MODES if mode in wanted and mode in source.modes]
    modes = [mode for mode in usable_modes(network, there) if settings_of(mode, asked)]
    if not modes:
        raise UserError(
            f"Nothing can be tested of {', '.join(wanted) or 'no mode'}: the data has {', '.join(there) or 'none'}, "
            "local guidance supports only interactive tasks, and these have one shot; choose other modes, shots or "
            "data."
        )
    return modes


def check_modes(network: Network, modes: list[Mode]) -> None:
    """Raise `CompositionError` if training modes and locality are incompatible."""
    refused = [mode for mode in modes if mode not in usable_modes(network, modes)]
    if refused:
        raise CompositionError(
            "locality=local keeps positions, so support and query must be the same image, but "
            f"mode={'mixed' if len(modes) > 1 else refused[0]} has {' and '.join(refused)} tasks on other images; "
            "choose locality=global or mode=interactive."
        )
