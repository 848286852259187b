"""The contract between data and model: what a Shot, an Episode and a Batch hold, and what they refuse."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from inspect import unwrap
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import Plan, brief, plans
from torch import Tensor
from torch.utils.data import DataLoader

from guided_seg.episode import IGNORE, Batch, Episode, Shot, check_points, collate
from guided_seg.errors import UserError


def image(height: int = 4, width: int = 6, value: float = 0.5) -> Tensor:
    return torch.full((3, height, width), value)


def labels(height: int = 4, width: int = 6, value: int = 0) -> Tensor:
    return torch.full((height, width), value, dtype=torch.uint8)


def dots(*rows: tuple[int, int, int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)


def unchecked(kind: type, **values: object) -> None:
    """Make one as users do, without the type checker of the tests, which would be first to see sizes that differ."""
    unwrap(kind.__init__)(object.__new__(kind), **values)


@pytest.mark.parametrize("annotation", [{}, {"points": dots((0, 0, 1)), "mask": labels()}])
def test_a_shot_takes_exactly_one_form_of_annotation(annotation: dict[str, Tensor]) -> None:
    with pytest.raises(UserError, match="either points or a mask, not both and not neither; give exactly one"):
        Shot(image(), **annotation)


@pytest.mark.parametrize("dot", [(-1, 0), (4, 0), (0, -1), (0, 6), (100, 100)])
def test_a_dot_outside_its_image_is_refused(dot: tuple[int, int]) -> None:
    where = rf"dot at row {dot[0]}, column {dot[1]} lies outside its 4 x 6 image"
    with pytest.raises(UserError, match=f"{where}; rows go from 0 to 3 and columns from 0 to 5"):
        Shot(image(), points=dots((0, 0, 1), (*dot, 1)))


def test_dots_on_every_border_are_taken() -> None:
    corners = dots((0, 0, 0), (0, 5, 1), (3, 0, 0), (3, 5, 1))
    assert Shot(image(), points=corners).labels() == (0, 1)


@pytest.mark.parametrize("label", [-1, IGNORE])
def test_a_dot_without_a_label_is_refused(label: int) -> None:
    with pytest.raises(UserError, match=rf"dot at row 1, column 2 has label {label}; expected 0 .* to {IGNORE - 1}"):
        Shot(image(), points=dots((0, 0, 1), (1, 2, label)))


def test_dots_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"Points are \(2, 2\); expected \[P, 3\] rows of \(row, column, label\)"):
        check_points(torch.zeros(2, 2, dtype=torch.int64), 4, 6)


def test_a_mask_of_another_size_than_its_image_is_refused() -> None:
    with pytest.raises(UserError, match=r"mask is \(4, 5\) but its image is \(4, 6\); they must have one size"):
        unchecked(Shot, image=image(), mask=labels(4, 5))


def test_a_target_of_another_size_than_its_query_is_refused() -> None:
    with pytest.raises(UserError, match=r"target is \(4, 5\) but the query is \(4, 6\); they must have one size"):
        unchecked(Episode, query=image(), target=labels(4, 5), support=[])


def test_a_shot_of_the_query_has_the_size_of_the_query() -> None:
    other = image(4, 5)
    with pytest.raises(UserError, match="flagged is_query must hold the query image itself; its size differs"):
        Episode(image(), labels(), [Shot(other, points=dots(), is_query=True)])
    assert len(Episode(image(), labels(), [Shot(other, points=dots())]).support) == 1


def test_a_dot_of_a_label_that_the_episode_lacks_is_refused() -> None:
    shot = Shot(image(), points=dots((1, 2, 2)))
    with pytest.raises(UserError, match=r"dot has label 2 but the episode has num_labels=2"):
        Episode(image(), labels(), [shot])
    assert Episode(image(), labels(), [shot], num_labels=3).num_labels == 3


def test_a_mask_or_target_with_a_label_that_the_episode_lacks_is_refused() -> None:
    two = labels(value=0)
    two[1, 2] = 2
    two[0, 0] = IGNORE
    with pytest.raises(
        UserError, match=r"The target has label 2 but the episode has num_labels=2; labels go .* 0 to 1"
    ):
        Episode(image(), two, [])
    with pytest.raises(UserError, match=r"A mask has label 2 but the episode has num_labels=2"):
        Episode(image(), labels(value=IGNORE), [Shot(image(), mask=two)])
    assert Episode(image(), two, [Shot(image(), mask=two)], num_labels=3).num_labels == 3
    assert Episode(image(), labels(value=IGNORE), [Shot(image(), mask=labels(value=IGNORE))]).num_labels == 2


def test_the_labels_of_a_shot_are_those_that_it_annotates() -> None:
    mask = labels(value=IGNORE)
    assert Shot(image(), mask=mask).labels() == ()
    mask[0, :3] = torch.tensor([3, 0, 1])
    assert Shot(image(), mask=mask).labels() == (0, 1, 3)
    assert Shot(image(), points=dots()).labels() == ()
    assert Shot(image(), points=dots((0, 0, 2), (1, 1, 0), (2, 2, 2))).labels() == (0, 2)


def test_shots_and_episodes_cannot_be_changed() -> None:
    shot = Shot(image(), points=dots())
    for thing, name in ((shot, "points"), (Episode(image(), labels(), [shot]), "target")):
        with pytest.raises(AttributeError):
            setattr(thing, name, None)


def test_no_episode_makes_no_batch() -> None:
    with pytest.raises(UserError, match="collate got no episodes; a batch needs at least one"):
        collate([])


def test_sizes_are_padded_at_the_bottom_and_right() -> None:
    wide = Episode(image(2, 7, 0.1), labels(2, 7, 1), [Shot(image(5, 3, 0.2), mask=labels(5, 3, 0))])
    tall = Episode(image(6, 2, 0.3), labels(6, 2, 0), [Shot(image(1, 1, 0.4), mask=labels(1, 1, 1))])
    batch = collate([wide, tall])
    assert batch.images.shape == (4, 3, 6, 7)
    assert batch.sizes.tolist() == [[2, 7], [6, 2], [5, 3], [1, 1]]
    for picture, (height, width), value in zip(batch.images, batch.sizes.tolist(), (0.1, 0.3, 0.2, 0.4), strict=True):
        assert (picture[:, :height, :width] == value).all()
        assert picture.sum().item() == pytest.approx(3 * height * width * value, rel=1e-5)
    for maps, sizes, values in ((batch.target, [(2, 7), (6, 2)], (1, 0)), (batch.masks, [(5, 3), (1, 1)], (0, 1))):
        assert maps.shape == (2, 6, 7)
        for own, (height, width), value in zip(maps, sizes, values, strict=True):
            assert (own[:height, :width] == value).all()
            assert (own == IGNORE).sum() == 42 - height * width


def test_images_of_one_size_are_not_padded() -> None:
    batch = collate([Episode(image(), labels(), [])] * 2)
    assert batch.images.shape == (2, 3, 4, 6)
    assert not (batch.target == IGNORE).any()


def test_an_image_is_held_once_however_often_it_is_shown() -> None:
    query, shared, copied = image(), image(value=0.1), image(value=0.1)
    own = Shot(query, points=dots((0, 0, 1)), is_query=True)
    first = Episode(query, labels(), [own, own, Shot(shared, mask=labels())])
    second = Episode(image(), labels(), [Shot(shared, points=dots((1, 1, 0))), Shot(copied, points=dots())])
    batch = collate([first, second])
    assert len(batch.images) == 4  # two queries, the shared image and its copy
    assert batch.shot_image.tolist() == [0, 0, 2, 2, 3]
    assert batch.shot_episode.tolist() == [0, 0, 0, 1, 1]
    assert batch.points.tolist() == [[0, 0, 0, 1], [1, 0, 0, 1], [3, 1, 1, 0]]
    assert batch.mask_shot.tolist() == [2]


def test_images_that_are_one_tensor_are_told_apart_from_equal_ones() -> None:
    image, other, target = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.uint8)
    shots = {id(i): Shot(i, mask=target) for i in (image, other)}
    batch = collate([Episode(image, target, [shots[id(other)]]), Episode(other, target, [shots[id(image)]])])
    assert batch.first is not None
    assert batch.first.tolist() == [0, 1, 1, 0]
    assert collate([Episode(image, target, [shots[id(other)]])]).first is None


def test_an_episode_without_a_support_makes_a_batch() -> None:
    batch = collate([Episode(image(), labels(), [])])
    assert (batch.shot_image.shape, batch.points.shape, batch.masks.shape) == ((0,), (0, 4), (0, 4, 6))
    assert (batch.points.dtype, batch.masks.dtype, batch.shot_image.dtype) == (torch.int64, torch.uint8, torch.int64)


def test_a_batch_has_the_most_labels_of_its_episodes_and_their_meta() -> None:
    episodes = [Episode(image(), labels(), [], {"group": str(k)}, num_labels=k) for k in (2, 5, 3)]
    batch = collate(episodes)
    assert (batch.num_labels, batch.labels) == (5, (2, 5, 3))
    assert [meta["group"] for meta in batch.metas] == ["2", "5", "3"]
    assert len(batch) == 3


@brief
@given(tasks=st.lists(plans(num_labels=3), min_size=1, max_size=4))
def test_a_batch_says_all_that_its_episodes_say(tasks: list[Plan]) -> None:
    episodes = [task.make() for task in tasks]
    batch = collate(episodes)
    shots = [(number, shot) for number, episode in enumerate(episodes) for shot in episode.support]
    assert batch.shot_episode.tolist() == [number for number, _ in shots]
    masks = dict(zip(batch.mask_shot.tolist(), batch.masks, strict=True))
    for i, (number, shot) in enumerate(shots):
        row = int(batch.shot_image[i])
        assert (row == number) == shot.is_query
        height, width = shot.image.shape[1:]
        assert batch.sizes[row].tolist() == [height, width]
        assert torch.equal(batch.images[row, :, :height, :width], shot.image)
        assert (i in masks) == (shot.mask is not None)
        if shot.mask is not None:
            assert torch.equal(masks[i][:height, :width], shot.mask)
        else:
            assert torch.equal(batch.points[batch.points[:, 0] == i, 1:], shot.points)
    for episode, target in zip(episodes, batch.target, strict=True):
        height, width = episode.target.shape
        assert torch.equal(target[:height, :width], episode.target)


def _batch() -> Batch:
    query = image()
    support = [Shot(query, points=dots((0, 0, 1)), is_query=True), Shot(image(3, 3), mask=labels(3, 3))]
    return collate([Episode(query, labels(), support, {"group": "cow"})])


def _tensors(batch: Batch) -> dict[str, Tensor]:
    return {f.name: value for f in fields(batch) if isinstance(value := getattr(batch, f.name), Tensor)}


def _moves(batch: Batch, move: Callable[[Batch], Batch], check: Callable[[Tensor], bool]) -> None:
    moved = move(batch)
    assert isinstance(moved, Batch)
    assert all(check(tensor) for tensor in _tensors(moved).values())
    assert (moved.num_labels, moved.metas) == (batch.num_labels, batch.metas)


def test_a_batch_moves_with_all_its_tensors() -> None:
    batch = _batch()
    assert len(_tensors(batch)) == 8
    _moves(batch, lambda b: b.to("meta"), lambda tensor: tensor.is_meta)
    assert not any(tensor.is_meta for tensor in _tensors(batch).values())
    same = batch.to(torch.device("cpu"), non_blocking=True)
    assert all(torch.equal(old, new) for old, new in zip(*(_tensors(b).values() for b in (batch, same)), strict=True))


def test_a_batch_is_pinned_with_all_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[int] = []  # there is page-locked memory only beside an accelerator

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(id(tensor))
        return tensor

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    batch = _batch()
    _moves(batch, Batch.pin_memory, lambda tensor: id(tensor) in pinned)
    assert len(pinned) == 8


def test_a_loader_pins_batches_by_their_own_method() -> None:
    from torch.utils.data._utils.pin_memory import pin_memory

    class Recorder:
        def pin_memory(self) -> str:
            return "pinned"

    assert pin_memory(Recorder()) == "pinned"
    assert callable(Batch.pin_memory)


def test_lightning_moves_batches_by_their_own_method() -> None:
    from lightning_fabric.utilities.apply_func import move_data_to_device

    moved: Any = move_data_to_device(_batch(), torch.device("meta"))
    assert moved.images.is_meta
    assert moved.points.is_meta


class _Three(torch.utils.data.Dataset[Episode]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Episode:
        picture = image(value=index / 4)
        return Episode(picture, labels(), [Shot(picture, points=dots((0, 0, 1)), is_query=True)], {"index": index})


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_come_from_a_loader(workers: int) -> None:
    loader = DataLoader(_Three(), batch_size=2, collate_fn=collate, num_workers=workers)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [2, 1]
    assert [meta["index"] for batch in batches for meta in batch.metas] == [0, 1, 2]
    assert all(len(batch.images) == len(batch) for batch in batches)  # the shots are still of the queries
    assert batches[1].images.unique().item() == 0.5


def test_batches_and_episodes_are_copied_and_pickled_whole() -> None:
    batch = _batch()
    for other in (copy.deepcopy(batch), pickle.loads(pickle.dumps(batch)), replace(batch)):
        old, new = _tensors(batch), _tensors(other)
        assert all(torch.equal(old[name], new[name]) for name in old)
        assert other.metas == batch.metas
