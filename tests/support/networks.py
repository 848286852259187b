"""Untrained networks of every kind that a session can have, and the same question asked of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from hydra import compose, initialize_config_module

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.composition.build import build_network
from guided_seg.episode import Episode, Shot, collate
from guided_seg.model.network import Network
from guided_seg.model.wrappers.one_vs_rest import k_way

COMPOSITIONS = {
    "late_global": ["+experiment=late_global"],
    "joint": ["+experiment=late_global", "conditioning.scorer=joint", "conditioning.matching=false"],
    "skips": ["+experiment=late_global", "decoder=skips"],
    "attention": ["+experiment=late_global", "merge=attention"],
    "learned_annotation": ["+experiment=late_global", "annotation=learned"],
    "finer_support": ["+experiment=late_global", "resolution.interpolation=2"],
    "parameter_regression": ["+experiment=late_global", "conditioning=parameter_regression"],
    "prototypes": ["+experiment=prototypes"],
    "nearest_neighbors": ["+experiment=nearest_neighbors"],
    "fused": ["+experiment=fused", "conditioning.spread=true"],
    "honoured": ["+experiment=fused", "decoder.honour=true"],
    "early_mask_regression": ["+experiment=early_mask_regression"],
    "late_local": ["+experiment=late_local"],
    "early_stack": ["+experiment=early_stack"],
    "fine_tune": ["+experiment=fine_tune", "baseline.steps=2"],
    "foreground_background": ["+experiment=foreground_background"],
}
"""Name -> overrides of the main command."""

TWO_LABELS = ("joint", "fine_tune", "foreground_background")
"""These know two labels, so more are read one against the rest."""

OWN_IMAGE_ALONE = ("late_local", "early_stack")
FULL = ("early_mask_regression", "early_stack", "fine_tune")
"""An edit costs them a full pass."""

LATE = [name for name in COMPOSITIONS if name not in (*FULL, "foreground_background")]


@cache
def network(name: str) -> Network:
    """A network of random weights, always the same."""
    register_resolvers()
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        torch.manual_seed(0)
        return build_network(compose("config", [*COMPOSITIONS[name], "backbone.width=16", "backbone.blocks=2"])).eval()


def for_labels(name: str, labels: int) -> Network:
    """The network as it is asked about so many labels."""
    return k_way("one_vs_rest" if name in TWO_LABELS and labels > 2 else "native", network(name))


Shown = Mapping[str, list[tuple[int, int, int]] | np.ndarray]
"""What is annotated in each image: dots as rows of (row, column, label), or a label per pixel."""


def ask(model: Network, pictures: Mapping[str, np.ndarray], query: str, shown: Shown, num_labels: int) -> torch.Tensor:
    """The scores of one whole episode, with nothing kept from before.

    Args:
        model: the network.
        pictures: all images.
        query: which is asked about.
        shown: what is annotated.
        num_labels: K.
    """
    images = {name: torch.from_numpy(picture).permute(2, 0, 1) / 255 for name, picture in pictures.items()}
    support = []
    for name, annotation in shown.items():
        if name == query or not model.needs_same_image:
            form = (
                {"mask": torch.from_numpy(annotation)}
                if isinstance(annotation, np.ndarray)
                else {"points": torch.tensor(annotation)}
            )
            support.append(Shot(images[name], **form, is_query=name == query))
    height, width = images[query].shape[1:]
    target = torch.zeros(height, width, dtype=torch.uint8)
    with torch.inference_mode():
        scores = model(collate([Episode(images[query], target, support, num_labels=num_labels)]))
    # a larger image of the support pads the batch
    return scores[0, :, :height, :width]


def same_labels(found: np.ndarray, scores: torch.Tensor, within: float = 1e-4) -> bool:
    """Whether labels are those of the highest score, but where the two highest are equal within rounding."""
    two = scores.topk(min(2, len(scores)), dim=0)
    sure = (two.values[0] - two.values[-1] > within).numpy()
    return bool((found[sure] == two.indices[0].numpy()[sure]).all())
