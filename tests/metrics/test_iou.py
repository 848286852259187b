"""IoU of the positives, against counting pixel by pixel and against torchmetrics where the definitions agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import binary_jaccard_index

from guided_seg.episode import IGNORE
from guided_seg.metrics.iou import NO_LABEL, EpisodeIoU, Scores, group_number, intersection_union

quick = settings(max_examples=60, deadline=None)


def counted(prediction: np.ndarray, target: np.ndarray, label: int = 1) -> tuple[int, int]:
    """Intersection and union of a label in one episode, a pixel at a time."""
    intersection = union = 0
    for p, t in zip(prediction.flat, target.flat, strict=True):
        if t == IGNORE:
            continue
        union += p == label or t == label
        intersection += p == label and t == label
    return int(intersection), int(union)


@st.composite
def masks(draw: st.DrawFn, num_labels: int = 2, number: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets of B episodes; all of one value often enough."""
    shape = (number or draw(st.integers(1, 4)), draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    prediction, target = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    labels = [*range(num_labels), IGNORE]
    for row in range(shape[0]):
        one = draw(st.none() | st.sampled_from(labels))
        target[row] = rng.choice(labels, shape[1:]) if one is None else one
        same = draw(st.none() | st.integers(0, num_labels - 1))
        prediction[row] = rng.integers(num_labels, size=shape[1:]) if same is None else same
    return prediction, target


def scored(rows: list[tuple[int, int, int, int]], **options: Any) -> EpisodeIoU:
    """A metric of episodes (number, group, intersection, union), made of lines of pixels."""
    metric = EpisodeIoU(**options)
    width = max(union for *_, union in rows) + 1
    for index, group, intersection, union in rows:
        prediction, target = torch.zeros(1, 1, width, dtype=torch.int64), torch.zeros(1, 1, width, dtype=torch.uint8)
        prediction[..., :intersection], target[..., :union] = 1, 1
        metric.update(prediction, target, torch.tensor([index]), torch.tensor([group]))
    return metric


@quick
@given(masks(num_labels=3))
def test_counts_are_those_of_a_loop_over_pixels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, target = pair
    found = intersection_union(torch.from_numpy(prediction), torch.from_numpy(target), num_labels=3).tolist()
    both = zip(prediction, target, strict=True)
    assert found == [[list(counted(p, t, label)) for label in (1, 2)] for p, t in both]


def _line(*values: int) -> Tensor:
    return torch.tensor([[values]], dtype=torch.uint8)


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        (_line(0, 0), _line(0, 0), [0, 0]),  # nothing there, nothing claimed
        (_line(1, 1), _line(1, 1), [2, 2]),  # all of it
        (_line(1, 1), _line(0, 0), [0, 2]),  # an absent class, claimed
        (_line(0, 0), _line(1, 0), [0, 1]),  # one pixel, missed
        (_line(0, 1), _line(0, 1), [1, 1]),  # one pixel, found
        (_line(1, 0), _line(255, 255), [0, 0]),  # nothing but void
        (_line(1, 1), _line(1, 255), [1, 1]),  # what is void is not claimed wrongly
    ],
)
def test_counts_by_hand(prediction: Tensor, target: Tensor, expected: list[int]) -> None:
    assert intersection_union(prediction, target).tolist() == [[expected]]
    assert intersection_union(prediction.long(), target).tolist() == [[expected]]


def test_another_positive_label_is_a_miss_of_one_and_a_false_alarm_of_the_other() -> None:
    assert intersection_union(_line(2, 2, 0), _line(1, 2, 255), num_labels=4).tolist() == [[[0, 1], [1, 2], [0, 0]]]


@quick
@given(masks(), st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_scores_are_those_of_the_counts(pair: tuple[np.ndarray, np.ndarray], groups: list[int]) -> None:
    prediction, target = pair
    counts = np.array([counted(p, t) for p, t in zip(prediction, target, strict=True)])
    groups = groups[: len(counts)]

    def iou(rows: np.ndarray) -> float:
        inside, union = rows.sum(0)
        return inside / union if union else 1.0

    pooled, averaged = EpisodeIoU("pool"), EpisodeIoU("mean")
    for metric in (pooled, averaged):
        indices = torch.arange(len(counts))
        metric.update(torch.from_numpy(prediction), torch.from_numpy(target), indices, torch.tensor(groups))
    own = {group: counts[[g == group for g in groups]] for group in sorted(set(groups))}
    assert pooled.compute()["positive_iou"] == averaged.compute()["positive_iou"] == pytest.approx(iou(counts))
    assert pooled.per_group() == pytest.approx({group: iou(rows) for group, rows in own.items()})
    assert pooled.compute()["mean_iou"] == pytest.approx(np.mean([iou(rows) for rows in own.values()]))
    means = {group: np.mean([iou(row[None]) for row in rows]) for group, rows in own.items()}
    assert averaged.per_group() == pytest.approx(means)
    assert averaged.compute()["mean_iou"] == pytest.approx(np.mean(list(means.values())))
    assert pooled.compute()["episodes"] == len(counts)


@quick
@given(masks())
def test_the_pooled_iou_is_torchmetrics_jaccard_index(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """The two differ only where there is nothing to count: theirs is 0, ours 1."""
    prediction, target = (torch.from_numpy(side) for side in pair)
    metric = EpisodeIoU()
    metric.update(prediction, target, torch.arange(len(target)), torch.zeros(len(target), dtype=torch.int64))
    if intersection_union(prediction, target)[..., 1].sum() == 0:
        assert metric.compute()["positive_iou"] == 1
        return
    theirs = binary_jaccard_index(prediction.int(), target.int(), ignore_index=IGNORE)
    assert metric.compute()["positive_iou"] == pytest.approx(theirs.item(), abs=1e-6)


def test_the_mean_j_of_two_videos_by_hand() -> None:
    # two objects: frames of 1/2 and 1/4 with the object long gone in a third; and one frame of 3/4
    rows = [(0, 7, 1, 2), (1, 7, 2, 8), (2, 7, 0, 0), (3, 9, 6, 8)]
    metric = scored(rows, within="mean", resample="groups")
    assert metric.per_group() == pytest.approx({7: (1 / 2 + 1 / 4 + 1) / 3, 9: 3 / 4})
    scores = metric.compute()
    assert scores["mean_iou"] == pytest.approx(((1 / 2 + 1 / 4 + 1) / 3 + 3 / 4) / 2)
    assert scores["positive_iou"] == pytest.approx(9 / 18)
    # whole objects are drawn: only one of them twice, or each once, can come out
    assert scores["ci95"] == pytest.approx([3 / 10, 6 / 8])


def test_one_episode_has_an_interval_of_no_width() -> None:
    assert scored([(0, 0, 1, 3)]).compute()["ci95"] == pytest.approx([1 / 3, 1 / 3])


episode_counts = st.integers(0, 40).flatmap(lambda union: st.tuples(st.integers(0, union), st.just(union)))


@quick
@given(st.lists(st.tuples(st.integers(0, 3), episode_counts), min_size=1, max_size=30), st.booleans())
def test_the_interval_holds_the_estimate_and_is_the_same_every_time(
    drawn: list[tuple[int, tuple[int, int]]], by_group: bool
) -> None:
    rows = [(index, group, *counts) for index, (group, counts) in enumerate(drawn)]
    resample = "groups" if by_group else "episodes"
    scores = scored(rows, resample=resample).compute()
    low, high = scores["ci95"]
    assert 0 <= low <= scores["positive_iou"] + 1e-9
    assert scores["positive_iou"] - 1e-9 <= high <= 1
    torch.manual_seed(len(drawn))
    torch.rand(3)
    assert scored(rows, resample=resample).compute() == scores


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(0)
    unions = rng.integers(1, 50, size=80)
    inside = (unions * rng.uniform(size=80)).astype(int)
    low, high = scored([(i, 0, int(a), int(b)) for i, (a, b) in enumerate(zip(inside, unions, strict=True))]).compute()[
        "ci95"
    ]
    draws = rng.integers(80, size=(20_000, 80))
    values = inside[draws].sum(1) / unions[draws].sum(1)
    assert (low, high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.01)


def test_frames_of_one_video_do_not_narrow_the_interval_that_draws_videos() -> None:
    rows = [(i, i // 20, 1 + 6 * (i // 20), 10) for i in range(40)]  # two videos, all frames alike
    by_frame, by_video = (scored(rows, resample=unit).compute()["ci95"] for unit in ("episodes", "groups"))
    assert by_video == pytest.approx([0.1, 0.7])
    assert by_frame[0] > 0.2
    assert by_frame[1] < 0.6


ROWS = [(3, 1, 2, 9), (0, 5, 1, 2), (2, 1, 4, 4), (1, 5, 0, 3)]


def test_the_order_of_episodes_and_batches_does_not_matter() -> None:
    expected = scored(sorted(ROWS)).compute()
    assert scored(ROWS).compute() == expected
    together, rows = EpisodeIoU(), torch.tensor(ROWS)
    prediction = (torch.arange(9) < rows[:, 2:3])[:, None].long()
    target = (torch.arange(9) < rows[:, 3:4])[:, None].to(torch.uint8)
    together.update(prediction, target, rows[:, 0], rows[:, 1])
    assert together.compute() == expected


def test_an_episode_that_comes_twice_counts_once() -> None:
    metric = scored([*ROWS, ROWS[1], ROWS[0], ROWS[1]])
    assert metric.compute() == scored(ROWS).compute()
    assert metric.table().tolist() == [list(row) for row in sorted(ROWS)]


@quick
@given(st.data())
def test_several_labels_are_those_of_a_loop_over_episodes_and_labels(data: st.DataObject) -> None:
    """K differs by episode; batches mix them, and one comes twice."""
    prediction, target = data.draw(masks(num_labels=4))
    number = len(target)
    labels = data.draw(st.lists(st.integers(2, 4), min_size=number, max_size=number))
    rng = np.random.default_rng(number)
    for row, own in enumerate(labels):
        prediction[row][prediction[row] >= own] = 0
        target[row][(target[row] >= own) & (target[row] != IGNORE)] = 0
    groups = rng.integers(0, 3, (number, 3))
    groups[np.arange(3) >= np.array(labels)[:, None] - 1] = NO_LABEL
    entries = [
        (groups[row, label - 1], *counted(prediction[row], target[row], label))
        for row, own in enumerate(labels)
        for label in range(1, own)
    ]
    pooled, averaged = EpisodeIoU("pool"), EpisodeIoU("mean", "groups")
    for rows in (torch.arange(number), torch.tensor([0])):
        parts = (torch.from_numpy(part)[rows] for part in (prediction, target))
        for metric, part in zip((pooled, averaged), ([*parts],) * 2, strict=True):
            metric.update(*part, rows, torch.from_numpy(groups)[rows])

    def iou(inside: float, union: float) -> float:
        return inside / union if union else 1.0

    own = {group: [entry[1:] for entry in entries if entry[0] == group] for group in sorted({e[0] for e in entries})}
    assert pooled.compute()["positive_iou"] == pytest.approx(
        iou(sum(e[1] for e in entries), sum(e[2] for e in entries))
    )
    assert pooled.per_group() == pytest.approx({g: iou(*np.sum(rows, 0)) for g, rows in own.items()})
    assert averaged.per_group() == pytest.approx({g: np.mean([iou(*row) for row in rows]) for g, rows in own.items()})
    assert averaged.compute()["mean_iou"] == pytest.approx(np.mean(list(averaged.per_group().values())))
    assert pooled.compute()["episodes"] == number


def test_the_interval_draws_the_labels_of_an_episode_together() -> None:
    metric = EpisodeIoU()
    prediction, target = torch.tensor([[[1, 1, 2, 0]]]), torch.tensor([[[1, 1, 0, 2]]], dtype=torch.uint8)
    metric.update(prediction, target, torch.tensor([0]), torch.tensor([[5, 6]]))
    # one episode, so that nothing can be drawn but both of its labels
    assert metric.compute()["ci95"] == pytest.approx([2 / 4, 2 / 4])
    assert metric.per_group() == {5: 1.0, 6: 0.0}


def test_whether_anything_was_counted() -> None:
    assert not EpisodeIoU().counted()
    assert scored(ROWS).counted()


def test_a_reset_metric_starts_anew() -> None:
    metric = scored(ROWS)
    metric.compute()
    metric.reset()
    with pytest.raises(ValueError, match="has seen no episode; call update first"), pytest.warns(match="before"):
        metric.compute()
    metric.update(_line(1, 0).long(), _line(1, 1), torch.tensor([0]), torch.tensor([0]))
    assert metric.compute()["positive_iou"] == 0.5


def test_large_sets_are_counted_exactly() -> None:
    # more pixels than a float32 can count
    metric, huge = EpisodeIoU(), 2**24
    metric.rows = [torch.tensor([[0, 0, huge, huge + 1], [1, 0, 1, 1]])]
    assert metric.table()[:, 3].sum() == huge + 2
    metric._update_count = 1
    assert metric.compute()["positive_iou"] == (huge + 1) / (huge + 2)


def test_scores_are_plain_values() -> None:
    scores = scored(ROWS).compute()
    assert list(scores) == list(Scores.__annotations__)
    assert [type(value) for value in scores.values()] == [float, float, list, int]


def test_group_numbers_are_the_same_on_every_process_and_tell_names_apart() -> None:
    assert group_number("cow") == 2580823964
    names = [f"{video}/{number}" for video in ("goat", "dog", "blackswan") for number in range(300)]
    assert len({group_number(name) for name in names}) == len(names)
