"""The head on all evidence: each kind against its definition, and what it must and must not depend on."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import compose_run
from torch import Tensor

from guided_seg.composition.build import build_network
from guided_seg.data.sampling.earlier_masks import disturb, shifted
from guided_seg.episode import IGNORE, Episode, Shot, collate
from guided_seg.errors import CompositionError, UserError
from guided_seg.model.backbones.neck import Hourglass
from guided_seg.model.decoder import Carried
from guided_seg.model.guide.guide import Guidance
from guided_seg.model.guide.shown import PLACES
from guided_seg.model.heads.evidence import SLACK
from guided_seg.model.heads.fused import AROUND, FEW, Fused
from guided_seg.model.network import GuidedNetwork, Network

KINDS = ("mean", "nearest", "ridge", "places", "memory", "local", "spread")
CHANNELS = 6
GRID = (4, 5)


def alone(kind: str) -> Fused:
    """A head that reads one kind of evidence, beside the mean where that one needs company."""
    company = {} if kind in ("mean", "nearest", "ridge") else {"mean": True}
    flags = dict.fromkeys(KINDS, False) | {kind: True} | company
    torch.manual_seed(0)
    return Fused(CHANNELS, hidden=2, width=4, context=[1], **flags).eval()


def evidence(head: Fused, query: Tensor, guidance: Guidance) -> Tensor:
    """What the first layer is given, ``[B, n, h, w]``."""
    seen: list[Tensor] = []
    hook = head.evidence.register_forward_pre_hook(lambda _, given_: seen.append(given_[0]))
    head(query, guidance)
    hook.remove()
    return seen[0]


def some(dots: tuple[int, ...] = (3, 4), own: bool = True, seed: int = 0) -> tuple[Tensor, Guidance]:
    """A query, and guidance by so many dots of each label."""
    rng = torch.Generator().manual_seed(seed)
    query = torch.randn(1, CHANNELS, *GRID, generator=rng)
    z = torch.zeros(1, len(dots), CHANNELS, max(*dots, 1))
    places = torch.zeros(1, len(dots), PLACES, max(*dots, 1))
    valid = torch.zeros(1, len(dots), max(*dots, 1), dtype=torch.bool)
    for label, number in enumerate(dots):
        z[0, label, :, :number] = torch.randn(CHANNELS, number, generator=rng)
        places[0, label, :2, :number] = torch.rand(2, number, generator=rng) * (min(GRID) - 1)
        places[0, label, 2, :number] = float(own)
        valid[0, label, : max(number, 1)] = True
    return query, Guidance(z, torch.tensor([[number > 0 for number in dots]]), valid, places)


def rows(guidance: Guidance, label: int) -> np.ndarray:
    """The annotated features of a label, ``[N, C + places]``."""
    assert guidance.valid is not None
    assert guidance.places is not None
    both = torch.cat([guidance.z, guidance.places], dim=2)
    return both[0, label].T[guidance.valid[0, label]].double().numpy()


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def cells(query: Tensor) -> np.ndarray:
    return unit(query[0].flatten(1).T.double().numpy())


@pytest.mark.parametrize("dots", [(3, 4), (1, 1), (7, 2)])
def test_the_mean_is_the_cosine_to_the_mean_of_each_side(dots: tuple[int, int]) -> None:
    query, guidance = some(dots)
    found = evidence(alone("mean"), query, guidance)[0].flatten(1)
    for row, label in ((1, 1), (3, 0)):
        centre = unit(rows(guidance, label)[:, :CHANNELS].mean(0))
        np.testing.assert_allclose(found[row].numpy(), cells(query) @ centre, atol=1e-5)
    assert (found[[0, 2]] == 1).all()


@pytest.mark.parametrize("dots", [(3, 4), (1, 1), (7, 2)])
def test_the_nearest_are_the_best_cosine_and_the_mean_of_a_few(dots: tuple[int, int]) -> None:
    query, guidance = some(dots)
    found = evidence(alone("nearest"), query, guidance)[0].flatten(1)
    for first, label in ((1, 1), (4, 0)):
        cosines = np.sort(cells(query) @ unit(rows(guidance, label)[:, :CHANNELS]).T)[:, ::-1]
        np.testing.assert_allclose(found[first].numpy(), cosines[:, 0], atol=1e-5)
        np.testing.assert_allclose(found[first + 1].numpy(), cosines[:, :FEW].mean(1), atol=1e-5)


@pytest.mark.parametrize("dots", [(3, 4), (1, 1), (9, 2)])
def test_the_linear_fit_is_ridge_regression_in_its_primal_form(dots: tuple[int, int]) -> None:
    query, guidance = some(dots)
    head = alone("ridge")
    found = evidence(head, query, guidance)[0, 2].flatten()
    assert head.penalty is not None
    features = np.concatenate([unit(rows(guidance, label)[:, :CHANNELS]) for label in (0, 1)])
    extended = np.concatenate([features, np.full((len(features), 1), 0.5)], axis=1)
    signs = np.repeat([-1.0, 1.0], dots)
    weight = np.repeat([0.5 / dots[0], 0.5 / dots[1]], dots)
    gram = extended.T @ (weight[:, None] * extended) + head.penalty.exp().item() * np.eye(CHANNELS + 1)
    fitted = np.linalg.solve(gram, extended.T @ (weight * signs))
    expected = np.concatenate([cells(query), np.full((len(cells(query)), 1), 0.5)], axis=1) @ fitted
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-4)


def test_the_local_fit_is_kernel_regression_on_features_and_places() -> None:
    query, guidance = some((2, 3))
    head = alone("local")
    found = evidence(head, query, guidance)[0, 4:].detach()
    assert head.local is not None
    sharp, penalty = head.local.sharpness.exp().item(), head.local.penalty.exp().item()
    dots = np.concatenate([rows(guidance, label) for label in (0, 1)])
    at = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), -1).reshape(-1, 2)
    signs, weight = np.repeat([-1.0, 1.0], (2, 3)), np.repeat([0.5 / 2, 0.5 / 3], (2, 3))

    def kernel(features: np.ndarray, places: np.ndarray, reach: float) -> np.ndarray:
        square = ((places[:, None] - dots[None, :, CHANNELS:-1]) ** 2).sum(-1)
        return np.exp(sharp * (features @ unit(dots[:, :CHANNELS]).T - 1) - square / (2 * reach**2))

    for row, reach in enumerate(AROUND):
        between = kernel(unit(dots[:, :CHANNELS]), dots[:, CHANNELS:-1], reach)
        # weighted kernel ridge regression as the textbook has it: (K + penalty W^-1)^-1 y
        fitted = np.linalg.solve(between + penalty * np.diag(1 / weight), signs)
        expected = kernel(cells(query), at, reach) @ fitted
        np.testing.assert_allclose(found[row].flatten().numpy(), expected, atol=1e-4)


def test_the_local_fit_says_nothing_of_dots_on_other_images() -> None:
    query, guidance = some((2, 3), own=False)
    assert (evidence(alone("local"), query, guidance)[0, 4:] == 0).all()


def test_places_are_bells_around_the_dots_of_the_querys_own_image() -> None:
    query, guidance = some((2, 3))
    found = evidence(alone("places"), query, guidance)[0][4:]
    at = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), -1).reshape(-1, 1, 2)
    for side, label in enumerate((1, 0)):
        square = ((at - rows(guidance, label)[:, CHANNELS:-1]) ** 2).sum(-1).min(1)
        for row, reach in enumerate((1.5, 5.0)):
            expected = np.exp(-square / (2 * reach**2))
            np.testing.assert_allclose(found[2 * side + row].flatten().numpy(), expected, atol=1e-5)
    assert (found[-1] == 1).all()


@pytest.mark.parametrize("dots", [(2, 5), (3, 2), (4, 1)])
def test_the_spread_is_the_bell_with_mean_and_covariance_of_the_labels_dots(dots: tuple[int, int]) -> None:
    query, guidance = some(dots)
    found = evidence(alone("spread"), query, guidance)[0][4:].double()
    places = rows(guidance, 1)[:, CHANNELS:-1]
    covariance = np.cov(places.T, bias=True) if len(places) > 1 else np.zeros((2, 2))
    inverse = np.linalg.inv(covariance + SLACK**2 * np.eye(2))
    apart = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), -1).reshape(-1, 2) - places.mean(0)
    expected = np.exp(-np.einsum("ni,ij,nj->n", apart, inverse, apart) / 2)
    np.testing.assert_allclose(found[0].flatten().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(found[1].numpy(), 1 / len(places), atol=1e-6)


@pytest.mark.parametrize("kind", ["places", "spread"])
def test_places_of_dots_on_other_images_mean_nothing(kind: str) -> None:
    query, guidance = some((2, 3), own=False)
    assert guidance.places is not None
    moved = guidance.places.clone()
    moved[:, :, :2] += 1
    head = alone(kind)
    assert (evidence(head, query, guidance)[0, 4:] == 0).all()
    assert torch.equal(head(query, guidance), head(query, replace(guidance, places=moved)))


def test_an_earlier_answer_is_read_as_shares_and_none_is_as_one_that_says_nothing() -> None:
    query, guidance = some()
    head = alone("memory")
    previous = torch.rand(1, 2, *GRID, generator=torch.Generator().manual_seed(1)) / 2
    found = evidence(head, query, replace(guidance, previous=previous))[0, 4:]
    assert torch.equal(found, torch.stack([previous[0, 1], previous[0].sum(0)]))
    nothing = replace(guidance, previous=torch.zeros(1, 2, *GRID))
    assert torch.equal(head(query, guidance), head(query, nothing))


@settings(deadline=None)
@given(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), st.integers(0, 99))
def test_positive_labels_are_all_alike(dots: tuple[int, int, int], seed: int) -> None:
    """Whichever number a label has, and whatever else is annotated or not."""
    query, guidance = some(dots, seed=seed)
    torch.manual_seed(0)
    head = Fused(CHANNELS, hidden=2, width=4, coarser=[6], local=True).eval()
    assert guidance.valid is not None
    assert guidance.places is not None
    swap = [0, 2, 1]
    parts = (guidance.z, guidance.annotated, guidance.valid, guidance.places)
    swapped = Guidance(*(part[:, swap] for part in parts))
    torch.testing.assert_close(head(query, guidance)[:, swap], head(query, swapped), atol=1e-4, rtol=1e-4)
    assert (head(query, guidance)[:, 0] == 0).all()
    assert head(query, guidance).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_say_which_maps_are_of_which_evidence(kind: str) -> None:
    query, guidance = some()
    whole, rest = (
        Fused(CHANNELS, hidden=2, width=4, context=[1], **(dict.fromkeys(KINDS, True) | {kind: there})).eval()
        for there in (True, False)
    )
    assert set(whole.inputs) == {"shown", *KINDS}
    maps = evidence(whole, query, guidance)[0]
    left = [map_ for map_, of in zip(maps, whole.inputs, strict=True) if of != kind]
    assert len(left) < len(maps)
    assert torch.equal(torch.stack(left), evidence(rest, query, guidance)[0])


def test_some_way_to_compare_is_needed() -> None:
    with pytest.raises(UserError, match="at least one of mean, nearest and ridge"):
        Fused(4, mean=False, nearest=False, ridge=False)


def test_a_backbone_without_earlier_maps_is_refused() -> None:
    with pytest.raises(CompositionError, match="needs an earlier map"):
        Carried([], maps=4)


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (16, 12)])
def test_an_hourglass_keeps_the_size_and_lets_the_farthest_cells_meet(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    glass = Hourglass([4, 6, 8])
    for weight in glass.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    x = torch.randn(2, 4, *size, requires_grad=True)
    out = glass(x)
    assert out.shape == x.shape
    (reached,) = torch.autograd.grad(out[0, :, 0, 0].sum(), x)
    assert (reached[0, :, -1, -1] != 0).any()
    assert (reached[1] == 0).all()


def test_each_step_of_carrying_has_half_the_maps_and_all_earlier_maps_count() -> None:
    torch.manual_seed(0)
    decoder = Carried([5, 3], maps=8)
    skips = [torch.randn(1, 5, 8, 8, requires_grad=True), torch.randn(1, 3, 16, 16, requires_grad=True)]
    found = decoder(torch.randn(1, 3, 8, 4, 4), decoder.prepare(skips))
    assert found.shape == (1, 3, 16, 16)
    assert [mix.out_channels for mix in decoder.mix] == [8, 4]
    assert all((grad != 0).any() for grad in torch.autograd.grad(found.sum(), skips))


@pytest.mark.parametrize("size", [(16, 16), (15, 13)])
def test_four_scores_a_cell_are_as_fine_as_the_finest_map_and_read_it(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    decoder = Carried([5, 3], maps=8, unshuffle=True).eval()
    skips = [torch.randn(1, 5, 8, 7 if size[1] == 13 else 8), torch.randn(1, 3, *size)]
    for skip in skips:
        skip.requires_grad_()
    prepared = decoder.prepare(skips)
    assert [tuple(each.shape) for each in prepared] == [(1, 8, *skips[0].shape[2:])], "computed once an image"
    found = decoder(torch.randn(1, 3, 8, 4, 4), prepared)
    assert found.shape == (1, 3, 2 * skips[0].shape[2], 2 * skips[0].shape[3])
    assert (found[:, 0] == 0).all()
    assert all((grad != 0).any() for grad in torch.autograd.grad(found.sum(), skips, retain_graph=True))
    # the four cells that lie in one are the four scores of it
    (reached,) = torch.autograd.grad(found[0, 1, 6, 6], skips[1])
    assert (reached[0, :, 6, 6] != 0).any()
    assert (reached[0, :, 14:] == 0).all()


def test_four_scores_a_cell_need_two_earlier_maps() -> None:
    with pytest.raises(CompositionError, match=r"needs two earlier maps.*backbone.finest=0"):
        Carried([5], maps=4, unshuffle=True)


@cache
def network() -> Network:
    torch.manual_seed(0)
    return build_network(compose_run("+experiment=fused", "backbone.width=8", "backbone.blocks=1")).eval()


def scores(**options: Any) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    image, target = torch.rand(3, 40, 56, generator=rng), torch.zeros(40, 56, dtype=torch.uint8)
    points = torch.tensor([[5, 5, 0], [30, 40, 1]])
    episode = Episode(image, target, [Shot(image, points=points, is_query=True)], **options)
    with torch.no_grad():
        return network()(collate([episode]))[0]


def test_the_negative_is_what_the_others_are_scored_against() -> None:
    found = scores()
    assert found.shape == (2, 40, 56)
    assert (found[0] == 0).all()


def test_memory_reaches_the_scores_and_its_absence_changes_nothing() -> None:
    blank = torch.full((40, 56), IGNORE, dtype=torch.uint8)
    assert torch.equal(scores(), scores(previous=blank))
    earlier = torch.zeros(40, 56, dtype=torch.uint8)
    earlier[20:, 30:] = 1
    assert not torch.equal(scores(), scores(previous=earlier))


def test_the_query_is_prepared_once_whatever_the_guidance() -> None:
    built = network()
    assert isinstance(built, GuidedNetwork)
    assert isinstance(built.conditioning, Fused)
    assert built.update_cost == "head"
    query, guidance = torch.randn(1, 8, 5, 7), replace(some()[1], z=torch.randn(1, 2, 8, 4))
    prepared = built.conditioning.prepare(query)
    assert torch.equal(built.conditioning(query, guidance), built.conditioning.compare(prepared, guidance))


@given(st.integers(0, 10**6), st.integers(8, 40), st.integers(8, 40))
def test_an_earlier_answer_is_like_the_truth_and_says_nothing_where_that_does_not(
    seed: int, height: int, width: int
) -> None:
    mask = np.zeros((height, width), np.uint8)
    mask[2:-2, 2:-2], mask[0] = 1, IGNORE
    mask[height // 2 :, width // 2 :] = 2
    found = disturb(mask, np.random.default_rng(seed))
    assert set(np.unique(found)) <= {0, 1, 2, IGNORE}
    assert (found[1:] != IGNORE).all()
    assert np.array_equal(found, disturb(mask, np.random.default_rng(seed)))


@given(st.integers(0, 10**6))
def test_a_moment_before_all_labels_were_a_little_elsewhere(seed: int) -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 15:30], labels[10:30, 30:45] = 1, 2
    found = shifted(labels, np.random.default_rng(seed))
    assert set(np.unique(found)) <= {0, 1, 2, IGNORE}
    for label in (1, 2):
        shares = (found == label) & (labels == label), (found == label) | (labels == label)
        assert shares[0].sum() > 0.3 * shares[1].sum()
    assert np.array_equal(found, shifted(labels, np.random.default_rng(seed)))
