"""Rules for valid combinations of model options, checked before anything is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from guided_seg.errors import CompositionError
from guided_seg.model.conditioning import Conditioning
from guided_seg.model.decoder import Bilinear, Decoder
from guided_seg.model.guide.annotation import Annotation
from guided_seg.model.guide.fusion import Fusion
from guided_seg.model.guide.locality import Locality, Set
from guided_seg.model.guide.merge import Merge


@dataclass(frozen=True)
class Choices:
    """The classes of a network's parts, and other options that the rules depend on.

    Attributes:
        fusion: ψ.
        annotation: m.
        locality: m_P.
        merge: m_S.
        conditioning: f.
        decoder: the decoder after f.
        interpolation: upsampling factor of the support's features.
        longest: longest side of encoded images, in pixels.
        roles: option of `EarlyStack`.
        scorer: option of `FeatureFusion`.
        matching: option of `FeatureFusion`.
        honour: option of `Carried`.
    """

    fusion: type[Fusion]
    annotation: type[Annotation]
    locality: type[Locality]
    merge: type[Merge]
    conditioning: type[Conditioning]
    decoder: type[Decoder] = Bilinear
    interpolation: int = 1
    longest: int | None = None
    roles: str = "per_label"
    scorer: str = "joint"
    matching: bool = False
    honour: bool = False

    def check(self) -> None:
        """Raise `CompositionError` for the first invalid combination."""
        for sentence in chain(self._early(), self._pooled(), self._compared(), self._read_directly(), self._honoured()):
            raise CompositionError(sentence)

    def _early(self) -> Iterator[str]:
        if self.fusion.early and self.annotation.learned:
            yield (
                f"{self['annotation']} maps the annotation to features, and {self['fusion']} reads it in pixels, "
                "beside the image; choose annotation=interpolate or fusion=late."
            )
        if self.fusion.early and self.longest is not None:
            yield (
                f"resolution.longest reduces images before they are encoded, and {self['fusion']} reads dots in the "
                "pixels of the image itself; choose resolution.longest=null or fusion=late."
            )
        if self.roles == "joint" and (self.scorer != "joint" or self.matching):
            yield (
                f"{self['fusion']} with roles=joint has one z for all labels, and {self['conditioning']} needs one for "
                "each; choose roles=per_label, or conditioning=feature_fusion with scorer=joint and matching=false."
            )

    def _pooled(self) -> Iterator[str]:
        if self.interpolation > 1 and (self.fusion.early or self.locality.keeps_positions or self._is_set):
            yield (
                "resolution.interpolation is of features of the support that late fusion pools, and "
                f"{self['fusion']} with {self['locality']} pools none; choose resolution=native, or fusion=late and "
                "locality=global."
            )
        if self.merge.learned and self.locality.keeps_positions:
            yield (
                f"{self['merge']} weighs shots, and {self['locality']} has but one, the query itself; "
                "choose merge=mean."
            )

    @property
    def _is_set(self) -> bool:
        return issubclass(self.locality, Set)

    def _compared(self) -> Iterator[str]:
        if self.conditioning.needs == "set":
            yield from self._sets()
        elif self._is_set:
            yield (
                f"{self['locality']} keeps every annotated feature, and {self['conditioning']} compares the query "
                "with one vector a label; choose locality=global, or conditioning=nearest_neighbors."
            )
        elif self.conditioning.needs == "global" and self.locality.keeps_positions:
            yield (
                f"{self['conditioning']} compares the query with one vector a label, and {self['locality']} has one "
                "for each position; choose locality=global, or conditioning=feature_fusion."
            )

    def _sets(self) -> Iterator[str]:
        if self.fusion.early or not self._is_set:
            yield (
                f"{self['conditioning']} compares the query with each annotated feature, and {self['fusion']} with "
                f"{self['locality']} keeps none of them; choose fusion=late and locality=set, or "
                "conditioning=prototypes."
            )
        for group, choice, instead in (("merge", self.merge, "mean"), ("annotation", self.annotation, "interpolate")):
            if choice.learned:
                yield (
                    f"{self[group]} learns to weigh what is averaged, and {self['conditioning']} averages nothing; "
                    f"choose {group}={instead}."
                )

    def _read_directly(self) -> Iterator[str]:
        local = self.fusion.early and self.locality.keeps_positions
        if self.conditioning.needs == "local" and not (local and self.fusion.sees_context):
            yield (
                f"{self['conditioning']} reads nothing but a z that has seen the whole image at every position, and "
                f"{self['fusion']} with {self['locality']} has none; choose fusion=early_stack and locality=local, or "
                "conditioning=feature_fusion."
            )

    def _honoured(self) -> Iterator[str]:
        if self.honour and not self._is_set:
            yield (
                f"decoder.honour=true corrects scores at dots, and {self['locality']} does not keep where they are; "
                "choose decoder.honour=false, or locality=set."
            )

    def __getitem__(self, group: str) -> str:
        return f"{group}={named(getattr(self, group))}"


def named(choice: type) -> str:
    """The name of an option in its config group: the name of its class in snake case.

    Example:
        >>> class NearestNeighbors: ...
        >>> named(NearestNeighbors)
        'nearest_neighbors'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", choice.__name__).lower()
