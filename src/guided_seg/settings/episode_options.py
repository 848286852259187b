"""The options of training episodes: the config group ``episode``, with defaults and ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from guided_seg.errors import DataError
from guided_seg.settings.ranges import Every, Number, Rule, Whole, as_word

_COUNT = Whole(1)
_SHARE = Number(0, 1)
_RANGE = Every(_COUNT, "[least, most] with 1 <= least <= most", length=2, rising=True)


def _option(default: Any, rule: Rule) -> Any:
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class EpisodeOptions:
    """What a training episode contains, apart from the number of dots, see `PointRange`.

    A new option needs a field here and a key of ``episode`` in conf/config.yaml.

    Attributes:
        shots: range of S, the number of annotated images in a support.
        objects: range of the number of positive labels K - 1, if the source has such tasks.
        turns: number of consecutive episodes on the same images, which are encoded only once (see `collate`). Later
            interactive episodes have another object of the image, a pasted one, or the same object with other dots. In
            all other tasks, query and first shot swap places.
        united: share of the later interactive episodes whose target is an object united with one that touches it, such
            as a rider and the horse. Only the dots show that they belong together.
        exchanged: share of episodes with one positive label whose positive and negative are exchanged: what was to be
            left out is to be found. The complement of a task is a task. A task shown by fewer than three dots per label
            is never exchanged, as nothing tells it from its complement.
        earlier: share of video tasks with an earlier prediction, see `data.sampling.earlier_masks.disturb`.
        corrections: share of training batches that are first predicted without gradients, and then trained on with more
            dots on the errors, see `guided_seg.training.corrections`.
        rounds: range of the number of such corrections in a row, each of them on the errors that the last one left.
        recalled: share of training batches whose earlier predictions are the network's own, see there.

    Raises:
        DataError: a value outside its range.

    Example:
        >>> EpisodeOptions(shots=(1, 5), turns=2).united
        0.0
    """

    shots: tuple[int, int] = _option((1, 1), _RANGE)
    objects: tuple[int, int] = _option((1, 1), _RANGE)
    turns: int = _option(1, _COUNT)
    united: float = _option(0.0, _SHARE)
    exchanged: float = _option(0.0, _SHARE)
    earlier: float = _option(0.0, _SHARE)
    corrections: float = _option(0.0, _SHARE)
    rounds: tuple[int, int] = _option((1, 1), _RANGE)
    recalled: float = _option(0.0, _SHARE)

    def __post_init__(self) -> None:
        for name, rule in rules():
            value = getattr(self, name)
            value = list(value) if isinstance(value, tuple) else value
            if not rule.accepts(value):
                raise DataError(f"episode.{name}={as_word(value)}: {rule.wanted(value)}.")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> EpisodeOptions:
        """The options in the config group ``episode``."""
        own: dict[str, Any] = {name: config[name] for name, _ in rules()}
        own |= {name: tuple(value) for name, value in own.items() if isinstance(value, Sequence)}
        return cls(**own)


def rules() -> Iterator[tuple[str, Rule]]:
    """Yield the name of each option and the rule for its values."""
    return ((option.name, option.metadata["rule"]) for option in fields(EpisodeOptions))
