"""The segmentor f: a query and z to scores (paper, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from guided_seg.model.conditioning import Conditioning
from guided_seg.model.decoder import Decoder
from guided_seg.model.features import Anchor, upsample
from guided_seg.model.guide.guide import Guidance


class Prepared(NamedTuple):
    """What depends on the query alone, and is computed once an image.

    Attributes:
        query: of `Conditioning.prepare`.
        skips: of `Decoder.prepare`.
        size: height and width of the images in pixels.
        anchor: where the feature grid lies; None if it spans the image.
    """

    query: tuple[Tensor, ...]
    skips: list[Tensor]
    size: tuple[int, int]
    anchor: Anchor | None

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(part.nbytes for part in (*self.query, *self.skips))

    def contiguous(self) -> Prepared:
        """The same, channel by channel in memory: a single label is compared twice as fast."""
        return self._replace(query=tuple(part.contiguous() for part in self.query))


class Segmentor(NamedTuple):
    """f in two stages: `prepare` reads the query, `score` adds z.

    Attributes:
        conditioning: gives maps of each label on the feature grid.
        decoder: scores them, at the same or a finer resolution.
    """

    conditioning: Conditioning
    decoder: Decoder

    @property
    def separable(self) -> bool:
        """Whether the scores of a label depend on its own z alone."""
        return self.conditioning.separable and self.decoder.separable

    def prepare(
        self,
        maps: Float[Tensor, "B C h w"],
        skips: Sequence[Tensor],
        size: tuple[int, int],
        anchor: Anchor | None = None,
    ) -> Prepared:
        """Prepare B queries of one size from their features and the skip maps that the decoder reads."""
        return Prepared(self.conditioning.prepare(maps), self.decoder.prepare(skips), size, anchor)

    def score(self, prepared: Prepared, guidance: Guidance, first: int = 0) -> Float[Tensor, "B K H W"]:
        """The scores of all labels at the size of the images; softmax over labels gives probabilities.

        Args:
            prepared: of B queries.
            guidance: of their tasks. If `separable`, it may be that of some labels only.
            first: the first of these labels.
        """
        maps = self.conditioning.compare(prepared.query, guidance)
        if first == 0:  # the floor is that of the negative
            maps = self.conditioning.floor(maps)
        fine = self.decoder(maps, prepared.skips)
        if self.decoder.honour is not None:
            fine = self.decoder.honour(fine, prepared.skips[-1], guidance, (maps.shape[-2], maps.shape[-1]))
        anchor = prepared.anchor.finer(fine.shape[-1] / maps.shape[-1]) if prepared.anchor else None
        return upsample(fine, prepared.size, anchor)
