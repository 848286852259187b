"""Each choice against its formula, computed one cell at a time, and what holds of every composition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.compositions import LEGAL, Composed, names_of, narrow
from support.episodes import Grid
from torch import Tensor

from guided_seg.composition.build import build_network
from guided_seg.episode import Batch, Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.model.baselines.fine_tune import FineTune, annotated_images, single
from guided_seg.model.conditioning import Conditioning, Direct, NearestNeighbors, ParameterRegression, Prototypes
from guided_seg.model.decoder import Refine
from guided_seg.model.guide.annotation import Interpolate, Learned, rasterize, spread
from guided_seg.model.guide.fusion import EarlyMask, EarlyStack, Late
from guided_seg.model.guide.guide import Guidance, Guide
from guided_seg.model.guide.locality import Global, Local
from guided_seg.model.guide.merge import Attention, Mean
from guided_seg.model.network import GuidedNetwork

every_legal = pytest.mark.parametrize("overrides", LEGAL, ids=names_of)
C = 5


def _episodes(rng: torch.Generator, sizes: tuple[tuple[int, int], ...] = ((24, 36), (17, 21))) -> list[Episode]:
    """Interactive tasks with two shots of dots and one of a mask, of any size."""
    episodes = []
    for height, width in sizes:
        image = torch.rand(3, height, width, generator=rng)
        mask = (torch.rand(height, width, generator=rng) > 0.7).to(torch.uint8)
        dots = [torch.tensor([[1, 2, 0], [height - 1, width - 3, 1]]), torch.tensor([[height // 2, 3, 1]])]
        support = [Shot(image, points=points, is_query=True) for points in dots]
        episodes.append(Episode(image, mask, [*support, Shot(image, mask=mask, is_query=True)]))
    return episodes


def _network(composed: Composed, overrides: tuple[str, ...], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return build_network(narrow(composed, *overrides, "backbone.blocks=1")).eval()


@every_legal
@torch.no_grad()
def test_order_and_company_do_not_matter(overrides: tuple[str, ...], composed: Composed, rng: torch.Generator) -> None:
    """The order of shots and of dots, and what else is in the batch."""
    network, episodes = _network(composed, overrides), _episodes(rng)
    alone = [network(collate([episode]))[0] for episode in episodes]
    together = network(collate(episodes))
    turned = [
        replace(
            episode,
            support=[
                replace(shot, points=shot.points.flip(0)) if shot.points is not None else shot
                for shot in reversed(episode.support)
            ],
        )
        for episode in episodes
    ]
    for scores, joint, other, episode in zip(alone, together, turned, episodes, strict=True):
        height, width = episode.target.shape
        torch.testing.assert_close(joint[:, :height, :width], scores, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(network(collate([other]))[0], scores, atol=1e-4, rtol=1e-4)


@every_legal
@torch.no_grad()
def test_the_guidance_decides_and_a_single_positive_dot_works(
    overrides: tuple[str, ...], composed: Composed, rng: torch.Generator
) -> None:
    network = _network(composed, overrides)
    image, target = torch.rand(3, 24, 36, generator=rng), torch.zeros(24, 36, dtype=torch.uint8)

    def scores(row: int, column: int, label: int) -> Tensor:
        dots = torch.tensor([[row, column, label]])
        return network(collate([Episode(image, target, [Shot(image, points=dots, is_query=True)])]))

    here, there, negative = scores(2, 3, 1), scores(20, 30, 1), scores(2, 3, 0)
    assert here.isfinite().all()
    assert not torch.allclose(here, there)
    assert not torch.allclose(here, negative)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _plain(module: Conditioning, query: Tensor, z: list[Tensor]) -> list[Tensor]:
    """The scores of the labels of one cell, before the floor; ``z[k]`` is one vector, or rows of them."""
    scores = []
    for own in z:
        if isinstance(module, ParameterRegression):
            hidden = F.relu(module.query.weight[:, :, 0, 0] @ query + module.query.bias)
            weights = module.regress.weight @ own + module.regress.bias
            scores.append(weights[:-1] @ hidden / len(hidden) ** 0.5 + weights[-1])
        else:
            assert isinstance(module, (Prototypes, NearestNeighbors))
            rows = own if own.ndim == 2 else own[None]
            euclidean = torch.stack([(query - row).square().mean() for row in rows])
            cosine = torch.stack([1 - query @ row / query.norm() / row.norm() for row in rows])
            scores.append(-module.temperature * (euclidean if module.metric == "euclidean" else cosine).min())
    return scores


@pytest.mark.parametrize("floor", [True, False])
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (ParameterRegression, {}),
        (ParameterRegression, {"hidden": 3}),
        *[(make, {"metric": metric}) for make in (Prototypes, NearestNeighbors) for metric in ("cosine", "euclidean")],
    ],
)
@torch.no_grad()
def test_conditionings_are_their_formulas(
    make: Callable[..., Conditioning], options: dict[str, Any], floor: bool, rng: torch.Generator
) -> None:
    torch.manual_seed(0)
    module = make(C, floor=floor, **options)
    query, z = torch.randn(2, C, 3, 4, generator=rng), torch.randn(2, 3, C, generator=rng)
    valid = None
    if module.needs == "set":
        z = torch.randn(2, 3, C, 6, generator=rng)
        valid = torch.rand(2, 3, 6, generator=rng) > 0.4
        valid[..., 0] = True
    scores = module(query, Guidance(z, torch.ones(2, 3, dtype=torch.bool), valid))
    for b, i, j in product(range(2), range(3), range(4)):
        own = [z[b, k] if valid is None else z[b, k, :, valid[b, k]].T for k in range(3)]
        expected = torch.stack(_plain(module, query[b, :, i, j], own))
        if floor:
            expected[0] = torch.logaddexp(expected[0], module.floor.level)
        torch.testing.assert_close(scores[b, :, 0, i, j], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("make", [Prototypes, NearestNeighbors])
@torch.no_grad()
def test_what_equals_the_positive_guidance_is_positive_before_any_training(
    make: Callable[..., Conditioning], metric: str
) -> None:
    """A floor at 0, the best score of a distance, would make every answer negative until training has lowered it."""
    directions = 3 * torch.eye(C)
    z = torch.stack([directions[0], directions[1]])[None]
    query = torch.stack([directions[1], directions[0], directions[2]], dim=1)[None, :, None]
    one = torch.ones(1, 2, 1, dtype=torch.bool)
    guidance = Guidance(z, one[..., 0]) if make is Prototypes else Guidance(z[..., None], one[..., 0], one)
    # like the positive, like the negative, like neither
    assert make(C, metric=metric)(query, guidance).argmax(1).flatten().tolist() == [1, 0, 0]


@torch.no_grad()
def test_regression_is_local_where_the_guidance_is(rng: torch.Generator) -> None:
    module = ParameterRegression(C)
    query, z = torch.randn(1, C, 2, 3, generator=rng), torch.randn(1, 2, C, 2, 3, generator=rng)
    every = torch.ones(1, 2, dtype=torch.bool)
    scores = module(query, Guidance(z, every))
    for i, j in product(range(2), range(3)):
        one = module(query[..., i : i + 1, j : j + 1], Guidance(z[..., i, j], every))
        torch.testing.assert_close(scores[0, :, 0, i, j], one[0, :, 0, 0, 0])


@torch.no_grad()
def test_direct_reads_the_guidance_alone(rng: torch.Generator) -> None:
    z = torch.randn(2, 3, C, 4, 4, generator=rng)
    shared = Direct(C)
    scores = shared(torch.zeros(2, 0, 4, 4), Guidance(z, torch.ones(2, 3, dtype=torch.bool)))
    expected = torch.einsum("c,bkchw->bkhw", shared.score.weight[0, :, 0, 0], z) + shared.score.bias
    torch.testing.assert_close(scores[:, :, 0], expected)
    joint = Direct(C, num_labels=2, guides=1)
    assert joint(torch.zeros(2, 0, 4, 4), Guidance(z[:, :1], torch.ones(2, 1, dtype=torch.bool))).shape == (
        2,
        2,
        1,
        4,
        4,
    )


class TestAttention:
    def test_it_is_a_softmax_over_the_shots_that_annotate_the_label(self, rng: torch.Generator) -> None:
        torch.manual_seed(0)
        merge = Attention(C)
        shots = torch.randn(5, 2, C, generator=rng)
        annotated = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 0], [1, 0]], dtype=torch.bool)
        episode = torch.tensor([0, 0, 0, 1, 1])
        merged, seen = merge(shots, annotated, episode, 2)
        for b, k in product(range(2), range(2)):
            rows = shots[(episode == b) & annotated[:, k], k]
            assert seen[b, k] == (len(rows) > 0)
            if len(rows):
                weight = torch.softmax(4 * torch.tanh(rows @ merge.weigh.weight[0]), 0)
                torch.testing.assert_close(merged[b, k], weight @ rows)

    def test_one_shot_is_itself(self, rng: torch.Generator) -> None:
        shots = torch.randn(1, 2, C, generator=rng)
        merged, _ = Attention(C)(shots, torch.ones(1, 2, dtype=torch.bool), torch.tensor([0]), 1)
        torch.testing.assert_close(merged, shots)


class TestLearnedAnnotation:
    def test_it_begins_near_the_interpolation_and_keeps_every_dot(self, rng: torch.Generator) -> None:
        batch = collate(_episodes(rng))
        shots = GuidedNetwork(Grid(C), Guide(_late(Interpolate()), Mean(), C), Prototypes(C)).encode(
            batch.images, batch.sizes
        )[batch.shot_image]
        fixed, learned = Interpolate()(shots, batch), Learned()(shots, batch)
        dense = spread(fixed, shots.maps.shape[-2:])
        assert torch.equal(learned.counts, fixed.counts)
        assert torch.equal(learned.maps.sum((2, 3)), learned.total)
        assert ((learned.total > 0) == (fixed.counts > 0)).all()
        assert (learned.maps[dense > 0] > 0).all()
        both = torch.stack([learned.maps.flatten(2), dense.flatten(2)])
        same = F.cosine_similarity(*both, dim=-1)[fixed.counts > 0]
        assert (same > 0.9).all()

    def test_nothing_is_spread_beyond_the_image(self, rng: torch.Generator) -> None:
        batch = collate(_episodes(rng))
        network = GuidedNetwork(Grid(C), Guide(_late(Learned()), Mean(), C), Prototypes(C))
        shots = network.encode(batch.images, batch.sizes)[batch.shot_image]
        maps = Learned()(shots, batch).maps
        height, width = shots.grids[-1].tolist()
        assert maps[-1, :, :height, :width].sum() > 0
        assert maps[-1, :, height:].sum() == maps[-1, :, :, width:].sum() == 0


def _late(annotation: Any) -> Late:
    return Late(annotation, Global())


class TestInterpolatedSupport:
    @torch.no_grad()
    def test_a_dot_reads_the_interpolated_feature(self, rng: torch.Generator) -> None:
        """Cells as small as pixels: z of a dot is the feature there, interpolated as for the output."""
        torch.manual_seed(0)
        backbone = Grid(C, stride=4)
        image = torch.rand(3, 16, 24, generator=rng)
        dots = torch.tensor([[5, 9, 1], [0, 0, 0]])
        batch = collate([Episode(image, torch.zeros(16, 24, dtype=torch.uint8), [Shot(image, points=dots)])])
        guide = Guide(Late(Interpolate(), Global(), interpolation=4), Mean(), C)
        network = GuidedNetwork(backbone, guide, Prototypes(C))
        features = network.encode(batch.images, batch.sizes)
        fine = F.interpolate(features.maps[1:], scale_factor=4, mode="bilinear", align_corners=False)
        z = network.extract(features, batch).z
        torch.testing.assert_close(z[0, 1], fine[0, :, 5, 9])
        torch.testing.assert_close(z[0, 0], fine[0, :, 0, 0])

    @pytest.mark.parametrize("factor", [0, -2])
    def test_a_factor_that_cannot_be(self, factor: int) -> None:
        with pytest.raises(UserError, match="expected a whole number from 1"):
            Late(Interpolate(), Global(), interpolation=factor)


class TestEarly:
    def test_dots_are_drawn_as_squares_and_masks_as_they_are(self) -> None:
        image, mask = torch.zeros(3, 9, 9), torch.full((9, 9), 255, dtype=torch.uint8)
        mask[2, 3] = 1
        dots = torch.tensor([[4, 4, 1], [0, 0, 0]])
        support = [Shot(image, points=dots), Shot(image, mask=mask)]
        maps = rasterize(collate([Episode(image, mask, support)]), dot=3)
        assert maps.shape == (2, 2, 9, 9)
        assert torch.nonzero(maps[0, 1]).tolist() == [[i, j] for i in (3, 4, 5) for j in (3, 4, 5)]
        assert torch.nonzero(maps[0, 0]).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
        assert torch.nonzero(maps[1, 1]).tolist() == [[2, 3]]
        assert maps[1, 0].sum() == 0

    @torch.no_grad()
    def test_stacking_reads_image_label_and_the_rest(self, rng: torch.Generator) -> None:
        torch.manual_seed(0)
        fusion = EarlyStack(Grid(C), Local(), dot=1)
        images, annotation = torch.rand(2, 3, 8, 8, generator=rng), torch.rand(2, 3, 8, 8, generator=rng).round()
        maps = fusion.encode(images, annotation)
        for k in range(3):
            rest = annotation[:, [i for i in range(3) if i != k]].amax(1)
            extra = torch.stack([annotation[:, k], rest], dim=1)
            torch.testing.assert_close(maps[:, k], fusion.encoder(images, extra))

    @torch.no_grad()
    def test_the_new_channels_weigh_as_the_mean_of_the_image_s(self, rng: torch.Generator) -> None:
        backbone = Grid(C)
        before = backbone.conv.weight.clone()
        backbone.widen(2)
        torch.testing.assert_close(backbone.conv.weight[:, :3], before)
        for channel in (3, 4):
            torch.testing.assert_close(backbone.conv.weight[:, channel], before.mean(1))

    @torch.no_grad()
    def test_masking_leaves_what_is_annotated(self, rng: torch.Generator) -> None:
        torch.manual_seed(0)
        fusion = EarlyMask(Grid(C), Local(), dot=1)
        images, annotation = torch.rand(1, 3, 8, 8, generator=rng), torch.zeros(1, 2, 8, 8)
        annotation[:, 1] = 1
        maps = fusion.encode(images, annotation)
        torch.testing.assert_close(maps[:, 1], fusion.encoder(images))
        torch.testing.assert_close(maps[:, 0], fusion.encoder(fusion.encoder.mean.expand_as(images)))

    def test_joint_roles_are_for_two_labels(self, rng: torch.Generator) -> None:
        fusion = EarlyStack(Grid(C), Local(), roles="joint")
        assert fusion.encode(torch.rand(1, 3, 8, 8), torch.zeros(1, 2, 8, 8)).shape == (1, 1, C, 2, 2)
        with pytest.raises(ValueError, match="reads 2 labels and got 3"):
            fusion.encode(torch.rand(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))

    @pytest.mark.parametrize("dot", [0, 4])
    def test_a_dot_has_a_middle(self, dot: int) -> None:
        with pytest.raises(UserError, match="expected an odd number"):
            EarlyMask(Grid(C), Local(), dot=dot)


class TestFineTuning:
    def _network(self, **options: Any) -> FineTune:
        torch.manual_seed(0)
        return FineTune(Grid(C), C, **options).eval()

    def test_the_trained_weights_stay_and_tasks_do_not_meet(self, rng: torch.Generator) -> None:
        network, episodes = self._network(steps=3), _episodes(rng)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        with torch.inference_mode():
            batch = collate(episodes)
            together = network(batch)
            alone = network(collate(episodes[1:]))
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
        height, width = episodes[1].target.shape
        torch.testing.assert_close(together[1, :, :height, :width], alone[0])

    def test_steps_fit_what_the_support_annotates(self, rng: torch.Generator) -> None:
        batch = collate(_episodes(rng)[:1])
        support, target = annotated_images(batch)

        def loss(network: FineTune) -> float:
            scores = network._tuned(batch).eval()
            with torch.no_grad():
                return F.cross_entropy(FineTune.__bases__[0].forward(scores, support), target, ignore_index=255).item()

        assert loss(self._network(steps=40, lr=1e-2)) < loss_before(self._network(), support, target)

    def test_no_steps_is_the_unguided_network(self, rng: torch.Generator) -> None:
        batch = collate(_episodes(rng))
        network = self._network(steps=0)
        with torch.no_grad():
            assert torch.equal(network(batch), FineTune.__bases__[0].forward(network, batch))

    def test_a_task_without_annotation_is_answered(self) -> None:
        image = torch.rand(3, 8, 8)
        nothing = Shot(image, mask=torch.full((8, 8), 255, dtype=torch.uint8))
        batch = collate([Episode(image, torch.zeros(8, 8, dtype=torch.uint8), [nothing])])
        assert self._network(steps=2)(batch).isfinite().all()

    @pytest.mark.parametrize("options", [{"steps": -1}, {"lr": 0.0}])
    def test_numbers_that_cannot_be(self, options: dict[str, Any]) -> None:
        with pytest.raises(UserError, match=r"baseline\.(steps|lr)="):
            self._network(**options)

    def test_one_episode_of_a_batch(self, rng: torch.Generator) -> None:
        episodes = _episodes(rng)
        batch = collate(episodes)
        for index in range(2):
            one = single(batch, index)
            assert torch.equal(one.target[0], batch.target[index])
            counts = [int((batch.shot_episode == index).sum()), len(one.shot_image)]
            assert counts == [3, 3]
            own = batch.points[batch.shot_episode[batch.points[:, 0]] == index, 1:]
            assert torch.equal(one.points[:, 1:], own)


def loss_before(network: FineTune, support: Batch, target: Tensor) -> float:
    """The loss on the support before any step."""
    with torch.no_grad():
        return F.cross_entropy(FineTune.__bases__[0].forward(network, support), target, ignore_index=255).item()


class TestDecoder:
    @torch.no_grad()
    def test_without_a_correction_it_interpolates(self, rng: torch.Generator) -> None:
        for skips in (True, False):
            decoder = Refine([6, 4], skips=skips, steps=2).eval()
            for step in decoder.steps:
                torch.nn.init.zeros_(step.last.weight)  # type: ignore[arg-type]
                torch.nn.init.zeros_(step.last.bias)  # type: ignore[arg-type]
            scores = torch.randn(2, 3, 4, 5, generator=rng)
            maps = [torch.randn(2, 6, 8, 10, generator=rng), torch.randn(2, 4, 16, 20, generator=rng)]
            fine = F.interpolate(scores, (8, 10), mode="bilinear", align_corners=False)
            fine = F.interpolate(fine, (16, 20), mode="bilinear", align_corners=False)
            torch.testing.assert_close(decoder(scores[:, :, None], decoder.prepare(maps)), fine)

    @torch.no_grad()
    def test_labels_are_refined_by_the_same_weights(self, rng: torch.Generator) -> None:
        decoder = Refine([6], hidden=4).eval()
        scores, maps = torch.randn(1, 3, 4, 5, generator=rng), [torch.randn(1, 6, 8, 10, generator=rng)]
        prepared, others = decoder.prepare(maps), [2, 0, 1]
        turned = decoder(scores[:, others, None], prepared)
        torch.testing.assert_close(turned, decoder(scores[:, :, None], prepared)[:, others])
