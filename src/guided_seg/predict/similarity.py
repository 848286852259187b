"""Similarity of an image to z: what the guidance of a label means."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from guided_seg.errors import UserError
from guided_seg.predict.predictor import ByLabel, Predictor
from guided_seg.predict.support import Annotated, Image


def similarity(
    predictor: Predictor, query: Image, support: Sequence[Annotated], label: int, labels: Sequence[str]
) -> Float[Tensor, "h w"]:
    """The cosine in -1..1 between the query's features and z of a label, on the grid of the features.

    If z is a set of features, it is the largest of their cosines; if z keeps positions, that to z at each position.

    Args:
        predictor: has the network and its cache.
        query: the image.
        support: see `Predictor.maps`.
        label: number of the label.
        labels: names of all labels.

    Raises:
        UserError: the network has no z in the space of its features, or nothing that guides the query is annotated
            with the label.
    """
    if not isinstance(predictor, ByLabel):
        raise UserError(
            "This network has no z that the features of an image can be compared with; take one that guides by late "
            "fusion, such as guided-lite0."
        )
    guidance = predictor.guidance(query, predictor.guides(query, support), label, len(labels))
    if not guidance.annotated.any():
        raise UserError(
            f"Nothing that guides {query.key!r} is annotated with label {labels[label]!r}, so there is nothing to "
            "compare with; set a dot with this label first."
        )
    features = normalize(predictor.features(query).unpadded()[0][0], dim=0)
    z = normalize(guidance.z[0, 0], dim=0)
    if z.ndim == 3:
        return (features * z).sum(0).clamp(-1, 1)
    return torch.einsum("chw,cm->mhw", features, z.view(len(z), -1)).amax(0).clamp(-1, 1)
