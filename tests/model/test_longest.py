"""Large images are reduced before they are encoded, and nothing else has to know of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.commands import VGG, compose_run
from torch import Tensor

from guided_seg.composition.build import build_network
from guided_seg.episode import Episode, Shot, collate
from guided_seg.errors import CompositionError
from guided_seg.model.backbone import reduced
from guided_seg.model.network import Network

SMALL = ("backbone.width=8", "backbone.blocks=1")
COMPOSITIONS = ("late_global", "late_local", "nearest_neighbors", "fused")


def network(name: str, longest: int | None) -> Network:
    torch.manual_seed(0)
    limit = "null" if longest is None else longest
    return build_network(compose_run(f"+experiment={name}", *SMALL, f"resolution.longest={limit}")).eval()


def ask(model: Network, image: Tensor, points: list[tuple[int, int, int]]) -> Tensor:
    target = torch.zeros(image.shape[1:], dtype=torch.uint8)
    episode = Episode(image, target, [Shot(image, points=torch.tensor(points), is_query=True)])
    with torch.no_grad():
        return model(collate([episode]))[0]


def scene(height: int, width: int) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_an_answer_is_that_to_the_reduced_image_at_the_size_of_the_image(name: str) -> None:
    large = scene(144, 192)
    small = reduced(large[None], 64)[0]
    assert small.shape == (3, 48, 64)
    # the middle of three pixels is where the pixel of the reduced image is
    found = ask(network(name, 64), large, [(31, 46, 0), (91, 121, 1)])
    near = ask(network(name, None), small, [(10, 15, 0), (30, 40, 1)])
    assert found.shape == (2, 144, 192)
    torch.testing.assert_close(found[:, 1::3, 1::3], near, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_images_within_the_limit_are_left_as_they_are(name: str) -> None:
    image, dots = scene(48, 64), [(10, 15, 0), (30, 40, 1)]
    assert torch.equal(ask(network(name, 64), image, dots), ask(network(name, None), image, dots))


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_smaller_images_are_enlarged_where_that_is_asked_for(name: str) -> None:
    image, dots = scene(48, 64), [(10, 15, 0), (30, 40, 1)]
    model = network(name, 128)
    plain = ask(model, image, dots)
    model.backbone.enlarge = True
    found = ask(model, image, dots)
    assert found.shape == plain.shape == (2, 48, 64)
    assert not torch.allclose(found, plain)
    large = reduced(image[None], 128, enlarge=True)[0]
    assert large.shape == (3, 96, 128)
    near = ask(model, large, [(21, 31, 0), (61, 81, 1)])
    torch.testing.assert_close(found, torch.nn.functional.avg_pool2d(near, 2), atol=0.5, rtol=0.5)


def test_enlarging_needs_a_size() -> None:
    with pytest.raises(CompositionError, match=r"set it, as in resolution.longest=512"):
        build_network(compose_run("+experiment=late_global", *SMALL, "resolution.enlarge=true"))


def test_the_longest_side_counts_and_the_shape_is_kept() -> None:
    assert reduced(torch.zeros(2, 3, 1000, 250), 100).shape == (2, 3, 100, 25)
    assert reduced(torch.zeros(1, 3, 1, 4000), 100).shape == (1, 3, 1, 100)
    constant = torch.full((1, 3, 64, 80), 0.25)
    torch.testing.assert_close(reduced(constant, 40), torch.full((1, 3, 32, 40), 0.25))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["+experiment=early_stack"], "choose resolution.longest=null or fusion=late"),
        (["backbone=vgg16_lite", *VGG, "backbone.border=true"], "or backbone.border=false"),
    ],
    ids=["early", "border"],
)
def test_what_counts_pixels_of_the_image_is_refused(overrides: list[Any], sentence: str) -> None:
    with pytest.raises(CompositionError) as caught:
        build_network(compose_run(*overrides, "resolution.longest=64"))
    assert sentence in str(caught.value)
