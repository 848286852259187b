"""z is what the concepts, rules 1-4, say, against a plain dense form with a loop for every sum."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import Grid, Plan, as_mask, guide, plans, random_image, random_points, seeds, sizes, thorough
from torch import Tensor

from guided_seg.episode import Batch, Episode, Shot, collate
from guided_seg.model.features import FINE, Anchor, Features, cells, pool_mask, upsample
from guided_seg.model.guide.annotation import Interpolate
from guided_seg.model.guide.fusion import Late
from guided_seg.model.guide.guide import Guidance, Guide
from guided_seg.model.guide.locality import Global, Locality, Set
from guided_seg.model.guide.merge import Mean
from guided_seg.model.network import StagedNetwork
from guided_seg.model.segmentor import Segmentor

strides = st.integers(1, 9)


class Extractor(StagedNetwork):
    """A backbone and a guide, without a segmentor."""

    def __init__(self, local: bool, stride: int = 4) -> None:
        torch.manual_seed(stride)
        super().__init__(Grid(stride=stride))
        self.guide = guide(local)

    def extract(self, features: Features, batch: Batch) -> Guidance:
        return self.guide(features, batch)

    @property
    def segmentor(self) -> Segmentor:
        raise NotImplementedError

    @torch.no_grad()
    def z(self, *given: Episode) -> Guidance:
        batch = collate(given)
        return self.extract(self.encode(batch.images, batch.sizes), batch)


def dense_map(size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """D ``[cells, pixels]``: how much of a pixel each cell takes is how much of the cell upsampling gives the pixel."""
    one_hot = torch.eye(grid[0] * grid[1]).view(-1, 1, *grid)
    return F.interpolate(one_hot, size=size, mode="bilinear", align_corners=False).flatten(1)


@thorough
@given(
    height=st.integers(1, 60),
    rows=st.integers(1, 5),
    start=st.integers(-9, 20),
    stride=st.sampled_from([4.0, 8.0, 2.5]),
)
def test_a_grid_that_does_not_span_its_image_has_one_meaning(height: int, rows: int, start: int, stride: float) -> None:
    """Points, masks and upsampling agree on where its cells lie, and every pixel weighs one."""
    anchor, size, grid = Anchor(start, stride), (height, 13), (rows, 3)
    one_hot = torch.eye(rows * 3).view(-1, 1, *grid)
    dense = upsample(one_hot, size, anchor).flatten(1)  # [cells, pixels]
    assert torch.allclose(dense.sum(0), torch.ones(height * 13), atol=1e-5)
    pixels = torch.cartesian_prod(torch.arange(height), torch.arange(13))
    many = [torch.tensor([pair]).expand(len(pixels), 2) for pair in (size, grid)]
    cell, weight = cells(pixels, *many, width=3, anchor=anchor)
    sparse = torch.zeros(len(pixels), rows * 3).scatter_add(1, cell, weight)
    assert torch.allclose(sparse, dense.T, atol=1e-5)
    mask = torch.rand(size, generator=torch.Generator().manual_seed(height))
    assert torch.allclose(pool_mask(mask, size, grid, anchor).flatten(), dense @ mask.flatten(), atol=1e-3)


@pytest.mark.parametrize("grid", [(64, 64), (72, 128), (1, FINE)])
def test_fine_grids_are_upsampled_alike_with_and_without_a_gradient(grid: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *grid, generator=torch.Generator().manual_seed(0))
    size = (3 * grid[0] + 1, 2 * grid[1] + 5)
    expected = upsample(maps.clone().requires_grad_(), size)
    assert expected.requires_grad
    assert torch.allclose(upsample(maps, size), expected, atol=2e-3)
    assert (upsample(maps, size) - expected).abs().mean() < 1e-4


def indicator(batch: Batch, shot: int, label: int) -> Tensor:
    """A_k ``[H, W]``, at the true size of the shot's image."""
    height, width = batch.sizes[batch.shot_image[shot]].tolist()
    pixels = torch.zeros(height, width)
    for number, row, column, value in batch.points.tolist():
        if number == shot and value == label:
            pixels[row, column] += 1
    for number, mask in zip(batch.mask_shot.tolist(), batch.masks, strict=True):
        if number == shot:
            pixels += (mask[:height, :width] == label).float()
    return pixels


def shot_z(features: Features, batch: Batch, shot: int, label: int, local: bool) -> Tensor | None:
    """The z of one shot and label, ``[C]`` or ``[C, h, w]``; None where the shot does not annotate the label."""
    annotated = indicator(batch, shot, label)
    if annotated.sum() == 0:
        return None
    image = int(batch.shot_image[shot])
    height, width = features.grids[image].tolist()
    a = (dense_map(tuple(annotated.shape), (height, width)) @ annotated.flatten()).view(height, width)
    z = torch.zeros_like(features.maps[image])
    for i in range(height):
        for j in range(width):
            z[:, i, j] = features.maps[image][:, i, j] * a[i, j]
    return z if local else z.sum((1, 2)) / a.sum()


def reference(features: Features, batch: Batch, module: Guide, local: bool) -> Tensor:
    """The z of every episode and label, by the definition."""
    rows = []
    for episode in range(len(batch)):
        shots = torch.nonzero(batch.shot_episode == episode).flatten().tolist()
        for label in range(batch.num_labels):
            found = [z for shot in shots if (z := shot_z(features, batch, shot, label, local)) is not None]
            absent = module.no_guidance.detach()
            if local:
                absent = absent[:, None, None].expand_as(features.maps[0])
            rows.append(torch.stack(found).mean(0) if found else absent)
    return torch.stack(rows).view(len(batch), batch.num_labels, *rows[0].shape)


@pytest.mark.parametrize("local", [False, True])
@thorough
@given(tasks=st.lists(plans(num_labels=3), min_size=1, max_size=3), stride=strides)
def test_z_is_its_definition(local: bool, tasks: list[Plan], stride: int) -> None:
    given_ = [task.make() for task in tasks]
    network, batch = Extractor(local, stride), collate(given_)
    features = network.encode(batch.images, batch.sizes)
    with torch.no_grad():
        guidance = network.extract(features, batch)
        expected = reference(features, batch, network.guide, local)
    assert torch.allclose(guidance.z, expected, atol=1e-5)
    for episode, task in enumerate(given_):
        labels = {label for shot in task.support for label in shot.labels()}
        assert guidance.annotated[episode].tolist() == [label in labels for label in range(3)]


@thorough
@given(size=sizes, grid=sizes, seed=seeds)
def test_the_weights_of_every_dot_are_a_column_of_the_dense_map(
    size: tuple[int, int], grid: tuple[int, int], seed: int
) -> None:
    dots = random_points(size, [0], 20, torch.Generator().manual_seed(seed))[:, :2]
    many = torch.tensor([size]).expand(len(dots), 2), torch.tensor([grid]).expand(len(dots), 2)
    cell, weight = cells(dots, *many, width=grid[1])
    spread = torch.zeros(len(dots), grid[0] * grid[1]).scatter_add(1, cell, weight)
    column = dense_map(size, grid)[:, dots[:, 0] * size[1] + dots[:, 1]]
    assert torch.allclose(spread, column.T, atol=1e-5)
    assert torch.allclose(weight.sum(1), torch.ones(len(dots)), atol=1e-6)
    assert (weight >= 0).all()
    assert ((cell >= 0) & (cell < grid[0] * grid[1])).all()


def test_a_hand_made_column() -> None:
    # 8 pixels over 4 cells have their centres at cells -0.25, 0.25, 0.75, ...; the first is held at 0
    dots = torch.tensor([[0, 0], [1, 0], [2, 7]])
    cell, weight = cells(dots, torch.tensor([[8, 8]] * 3), torch.tensor([[4, 4]] * 3), width=4)
    spread = torch.zeros(3, 16).scatter_add(1, cell, weight).view(3, 4, 4)
    assert spread[0, 0, 0] == 1
    assert (spread[1, 0, 0], spread[1, 1, 0]) == (0.75, 0.25)
    assert (spread[2, 0, 3], spread[2, 1, 3]) == (0.25, 0.75)


@thorough
@given(size=sizes, stride=strides, corner=st.tuples(st.booleans(), st.booleans()))
def test_a_dot_in_the_corner_guides_with_its_full_weight(
    size: tuple[int, int], stride: int, corner: tuple[bool, bool]
) -> None:
    image = random_image(size, torch.Generator().manual_seed(0))
    dot = [last * (extent - 1) for last, extent in zip(corner, size, strict=True)]
    episode = Episode(
        image, torch.zeros(size, dtype=torch.uint8), [Shot(image, points=torch.tensor([[*dot, 1]]), is_query=True)]
    )
    network, batch = Extractor(False, stride), collate([episode])
    cell = network.encode(batch.images, batch.sizes).maps[0][:, -corner[0], -corner[1]]
    assert torch.allclose(network.z(episode).z[0, 1], cell, atol=1e-6)
    local = Extractor(True, stride)
    ones = replace(local.encode(batch.images, batch.sizes), maps=torch.ones(1, 5, *_grid(size, stride)))
    z = local.extract(ones, batch).z[0, 1]
    assert torch.allclose(z.sum((1, 2)), torch.ones(5), atol=1e-6)


def _grid(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)


@thorough
@given(size=sizes, grid=sizes, seed=seeds)
def test_dense_annotation_is_the_dense_map_and_keeps_the_number_of_pixels(
    size: tuple[int, int], grid: tuple[int, int], seed: int
) -> None:
    annotated = (torch.rand(2, *size, generator=torch.Generator().manual_seed(seed)) < 0.3).float()
    padded = F.pad(annotated, (0, 3, 0, 2), value=1.0)  # what lies outside the image does not count
    pooled = pool_mask(padded, size, grid)
    assert torch.allclose(pooled.flatten(1), annotated.flatten(1) @ dense_map(size, grid).T, atol=1e-4)
    assert torch.allclose(pooled.sum((1, 2)), annotated.sum((1, 2)), rtol=1e-5)


@pytest.mark.parametrize("local", [False, True])
@thorough
@given(task=plans(num_labels=3, dots_only=True), stride=strides)
def test_points_and_masks_are_one_annotation(local: bool, task: Plan, stride: int) -> None:
    episode = task.make()
    network = Extractor(local, stride)
    dense = replace(episode, support=[as_mask(shot) for shot in episode.support])
    from_points, from_masks = network.z(episode), network.z(dense)
    assert torch.allclose(from_points.z, from_masks.z, atol=1e-5)
    assert torch.equal(from_points.annotated, from_masks.annotated)


@pytest.mark.parametrize("local", [False, True])
@thorough
@given(data=st.data(), task=plans(), stride=strides)
def test_the_order_of_shots_does_not_matter(local: bool, data: st.DataObject, task: Plan, stride: int) -> None:
    episode = task.make()
    network = Extractor(local, stride)
    order = data.draw(st.permutations(range(len(episode.support))))
    shuffled = replace(episode, support=[episode.support[i] for i in order])
    height, width = _grid(tuple(episode.query.shape[1:]), stride)
    first, second = (network.z(e).crop(slice(None), height, width).z for e in (episode, shuffled))
    assert torch.allclose(first, second, atol=1e-6)


@thorough
@given(task=plans(num_labels=3), stride=strides)
def test_z_is_the_mean_over_the_shots_that_annotate_the_label(task: Plan, stride: int) -> None:
    episode = task.make()
    network = Extractor(False, stride)
    merged = network.z(episode).z[0]
    alone = [network.z(replace(episode, support=[shot])).z[0] for shot in episode.support]
    for label in range(3):
        terms = [z[label] for z, shot in zip(alone, episode.support, strict=True) if label in shot.labels()]
        expected = torch.stack(terms).mean(0) if terms else network.guide.no_guidance
        assert torch.allclose(merged[label], expected, atol=1e-6)


@pytest.mark.parametrize("form", ["points", "mask"])
@pytest.mark.parametrize("local", [False, True])
def test_positives_and_negatives_in_different_shots(local: bool, form: str) -> None:
    rng = torch.Generator().manual_seed(1)
    image = random_image((16, 12), rng)
    shots = [Shot(image, points=random_points((16, 12), [label], 4, rng), is_query=True) for label in (0, 1)]
    shots = shots if form == "points" else [as_mask(shot) for shot in shots]
    episode = Episode(image, torch.zeros(16, 12, dtype=torch.uint8), shots)
    network = Extractor(local)
    both, negative, positive = (network.z(replace(episode, support=s)) for s in (shots, shots[:1], shots[1:]))
    assert both.annotated.all()
    assert torch.equal(both.z[0, 0], negative.z[0, 0])
    assert torch.equal(both.z[0, 1], positive.z[0, 1])


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("empty", ["no shot", "no dot", "all ignored"])
def test_a_label_that_no_shot_annotates_has_the_learned_vector(local: bool, empty: str) -> None:
    image = random_image((9, 14), torch.Generator().manual_seed(0))
    ignored = torch.full((9, 14), 255, dtype=torch.uint8)
    none = torch.zeros(0, 3, dtype=torch.int64)
    support = {"no shot": [], "no dot": [Shot(image, points=none)], "all ignored": [Shot(image, mask=ignored)]}[empty]
    network = Extractor(local)
    guidance = network.z(Episode(image, torch.zeros_like(ignored), support))
    assert not guidance.annotated.any()
    vector = network.guide.no_guidance.view(-1, *[1] * (guidance.z.ndim - 3))
    assert torch.equal(guidance.z, vector.expand_as(guidance.z))


def test_the_learned_vector_is_trained_by_what_it_stands_in_for() -> None:
    image = random_image((9, 14), torch.Generator().manual_seed(0))
    shot = Shot(image, points=torch.tensor([[2, 3, 1]]), is_query=True)
    batch = collate([Episode(image, torch.zeros(9, 14, dtype=torch.uint8), [shot])])
    network = Extractor(False)
    z = network.extract(network.encode(batch.images, batch.sizes), batch).z
    z[0, 0].sum().backward(retain_graph=True)
    gradient = network.guide.no_guidance.grad
    assert gradient is not None
    assert torch.equal(gradient, torch.ones(5))
    network.guide.no_guidance.grad = None
    z[0, 1].sum().backward()
    assert network.guide.no_guidance.grad is None or not network.guide.no_guidance.grad.any()


@pytest.mark.parametrize("local", [False, True])
@thorough
@given(task=plans(num_labels=3), size=sizes, stride=strides)
def test_a_shot_without_annotation_changes_nothing(local: bool, task: Plan, size: tuple[int, int], stride: int) -> None:
    episode = task.make()
    network = Extractor(local, stride)
    image = torch.zeros(3, *size)
    blank = Shot(image, points=torch.zeros(0, 3, dtype=torch.int64))
    void = Shot(image, mask=torch.full(size, 255, dtype=torch.uint8))
    height, width = _grid(tuple(episode.query.shape[1:]), stride)
    with_blanks = replace(episode, support=[blank, *episode.support, void])
    before, after = (network.z(e).crop(slice(None), height, width) for e in (episode, with_blanks))
    assert torch.equal(before.annotated, after.annotated)
    assert torch.allclose(before.z, after.z, atol=1e-6)


@pytest.mark.parametrize("local", [False, True])
@thorough
@given(data=st.data(), task=plans(num_labels=3, dots_only=True), label=st.integers(0, 2), stride=strides)
def test_a_dot_changes_only_its_own_label(
    local: bool, data: st.DataObject, task: Plan, label: int, stride: int
) -> None:
    episode = task.make()
    image = episode.query
    pixels = st.tuples(st.integers(0, image.shape[1] - 1), st.integers(0, image.shape[2] - 1))
    first, second = data.draw(st.lists(pixels, min_size=2, max_size=2, unique=True))
    network = Extractor(local, stride)

    def with_dots(*dots: tuple[int, int]) -> Guidance:
        points = torch.tensor([[*dot, label] for dot in dots])
        return network.z(replace(episode, support=[*episode.support, Shot(image, points=points, is_query=True)]))

    one, two = with_dots(first), with_dots(first, second)
    others = [other for other in range(3) if other != label]
    assert torch.equal(one.z[:, others], two.z[:, others])
    assert torch.equal(one.annotated, two.annotated)
    if local:  # a dot adds weight to the cells around it; pooled, two dots in equal surroundings are as good as one
        assert not torch.equal(one.z[:, label], two.z[:, label])
    assert torch.allclose(two.z, with_dots(second, first).z, atol=1e-6)


@pytest.mark.parametrize("local", [False, True])
@thorough
@given(data=st.data(), task=plans(num_labels=3, dots_only=True), stride=strides)
def test_the_order_of_dots_does_not_matter(local: bool, data: st.DataObject, task: Plan, stride: int) -> None:
    episode = task.make()
    network = Extractor(local, stride)
    support = []
    for shot in episode.support:
        assert shot.points is not None
        order = data.draw(st.permutations(range(len(shot.points))))
        support.append(replace(shot, points=shot.points[order]))
    shuffled = replace(episode, support=support)
    assert torch.allclose(network.z(episode).z, network.z(shuffled).z, atol=1e-6)


@pytest.mark.parametrize("locality", [Global, Set])
def test_gradients_are_the_same_bits_every_time(locality: type[Locality]) -> None:
    """Or two runs of one seed part: threads that add to one cell must not do so in the order in which they come."""
    rng = torch.Generator().manual_seed(0)
    image, target = torch.rand(3, 64, 64, generator=rng), torch.zeros(64, 64, dtype=torch.uint8)
    dots = torch.stack([*torch.randint(0, 24, (2, 900), generator=rng), torch.arange(900) % 2], dim=1)
    batch = collate([Episode(image, target, [Shot(image, points=dots, is_query=True)])])
    maps, sizes = torch.randn(1, 64, 16, 16, generator=rng), torch.full((1, 2), 64)
    extract = Guide(Late(Interpolate(), locality()), Mean(), 64)

    def gradient() -> Tensor:
        leaf = maps.clone().requires_grad_()
        z = extract(Features(leaf, sizes // 4, sizes), batch).z
        (z.square() * torch.arange(z.numel()).view_as(z)).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = gradient()
        assert all(torch.equal(gradient(), first) for _ in range(30))
    finally:
        torch.set_num_threads(threads)
