"""Honoured dots: every dot on the query has its label, and nothing else changes (concepts, rule 9)."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.commands import compose_run
from torch import Tensor

from guided_seg.composition.build import build_network
from guided_seg.episode import Episode, Shot, collate
from guided_seg.errors import CompositionError
from guided_seg.model.honour import MARGIN
from guided_seg.model.network import GuidedNetwork

HEIGHT, WIDTH = 64, 96
LIKE = ("+experiment=fused", "backbone.width=8", "backbone.blocks=1")

DOTS = st.lists(
    st.tuples(st.integers(0, HEIGHT // 8 - 1), st.integers(0, WIDTH // 8 - 1), st.integers(0, 2)),
    min_size=1,
    max_size=12,
    unique_by=lambda dot: dot[:2],
)
"""Dots that are at least eight pixels apart, as cells of eight pixels, with a label."""


@cache
def network(honour: bool = True) -> GuidedNetwork:
    torch.manual_seed(0)
    made = build_network(compose_run(*LIKE, f"decoder.honour={honour}")).eval()
    assert isinstance(made, GuidedNetwork)
    if honour:  # which holds two numbers more
        made.load_state_dict(network(False).state_dict(), strict=False)
    return made


def episode(dots: Tensor, own: bool = True, seed: int = 0, labels: int = 3) -> Episode:
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(3, HEIGHT, WIDTH, generator=rng)
    shown = image if own else torch.rand(3, HEIGHT, WIDTH, generator=rng)
    target = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    return Episode(image, target, [Shot(shown, points=dots, is_query=own)], num_labels=labels)


def pixels(dots: list[tuple[int, int, int]]) -> Tensor:
    return torch.tensor([(8 * row + 4, 8 * column + 4, label) for row, column, label in dots])


@given(dots=DOTS, seed=st.integers(0, 5))
def test_every_dot_on_the_query_has_its_label(dots: list[tuple[int, int, int]], seed: int) -> None:
    points = pixels(dots)
    with torch.no_grad():
        found = network()(collate([episode(points, seed=seed)])).argmax(1)[0]
    assert torch.equal(found[points[:, 0], points[:, 1]], points[:, 2])


@given(dots=DOTS)
def test_the_order_of_dots_and_the_rest_of_the_batch_change_nothing(dots: list[tuple[int, int, int]]) -> None:
    points = pixels(dots)
    others = episode(pixels([(0, 0, 1), (5, 5, 2), (3, 8, 0)]), seed=1)
    with torch.no_grad():
        alone = network()(collate([episode(points)]))
        turned = network()(collate([episode(points.flip(0))]))
        beside = network()(collate([others, episode(points)]))[1:]
    torch.testing.assert_close(turned, alone, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(beside, alone, atol=1e-3, rtol=1e-3)


def test_dots_on_other_images_change_nothing() -> None:
    asked = collate([episode(pixels([(1, 1, 1), (5, 5, 0)]), own=False)])
    with torch.no_grad():
        assert torch.equal(network()(asked), network(False)(asked))


def test_a_dot_that_the_scores_agree_with_changes_nothing() -> None:
    points = pixels([(1, 1, 1), (5, 5, 0)])
    agreed, asked = (collate([episode(points[:number], labels=2)]) for number in (1, 2))
    honouring, plain = build_network(compose_run(*LIKE, "decoder.honour=true")).eval(), network(False)
    honouring.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        honouring.decoder.score.bias += 50  # everything is the object
        sure = honouring(agreed)
        assert sure[0, 1].min() > MARGIN
        corrected = honouring(asked)
        assert corrected[0, :, 44, 44].argmax() == 0
        honouring.decoder.honour = None
        assert torch.equal(honouring(agreed), sure)


def test_a_correction_fades_with_distance_and_difference() -> None:
    honour = network().decoder.honour
    assert honour is not None
    asked = collate([episode(pixels([(4, 6, 1)]))])
    with torch.no_grad():
        features = network().encode(asked.images[:1], asked.sizes[:1])
        guidance = network().extract(features[torch.zeros(len(asked.images), dtype=torch.long)], asked)
        look = torch.zeros(1, 2, HEIGHT, WIDTH)
        look[:, 0, :, : WIDTH // 2 + 8] = 1  # the dot is in the left part
        look[:, 1, :, WIDTH // 2 + 8 :] = 1
        scores = torch.full((1, 3, HEIGHT, WIDTH), -5.0)
        found = honour(scores, look, guidance, (int(features.grids[0, 0]), int(features.grids[0, 1])))[0, 1] + 5
    row, column = 36, 52
    assert found[row, column] == found.max()
    assert 5 + MARGIN - 0.2 < found[row, column] < 5 + MARGIN + 0.1
    along = found[row, : column + 1].flip(0)
    assert (along[1:] <= along[:-1]).all(), "less and less"
    assert along[40] < 0.01
    assert found[row, column + 5] < 0.1 * found[row, column - 5], "near, but it looks different"


def test_it_learns_its_reach() -> None:
    made = build_network(compose_run(*LIKE, "decoder.honour=true"))
    asked = collate([episode(pixels([(1, 1, 1), (5, 5, 0), (6, 9, 2)]))])
    made(asked).softmax(1)[:, 1].sum().backward()
    honour = made.decoder.honour
    assert honour is not None
    for weight in honour.parameters():
        assert weight.grad is not None
        assert weight.grad != 0


def test_it_needs_to_know_where_the_dots_are() -> None:
    with pytest.raises(CompositionError, match=r"decoder.honour=true .* choose decoder.honour=false, or locality=set"):
        build_network(compose_run("+experiment=late_global", "decoder=carried", "decoder.honour=true"))


def test_it_needs_a_grid_that_spans_the_image() -> None:
    bordered = ("backbone=vgg16_lite", "backbone.weights=random", "backbone.border=true")
    with pytest.raises(CompositionError, match=r"pads the image; choose decoder.honour=false or backbone.border=false"):
        build_network(compose_run("+experiment=fused", *bordered, "decoder.honour=true"))
