"""Figures against counting them out, and their intervals."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guided_seg.errors import DataError
from guided_seg.protocols.statistics import STATISTICS, Columns, check_figures, measure, paired, table_of

many = settings(max_examples=12, deadline=None)
BY_GROUP = ("J", "F", "J&F", "recall", "decay", *(f"J@quarter{number}" for number in range(1, 5)))
BY_ROW = [name for name in STATISTICS if name not in BY_GROUP]
CLICKS = [f"{name}{at}" for name in ("noc", "nof") for at in (80, 85, 90)]
MEANS = [*CLICKS, "j", "f"]
AFTER = (1, 2, 3, 5, 10, 20)
LIMIT = 6
COLUMNS = ["fg_i", "fg_u", "bg_i", "bg_u", *MEANS, "clicks", "ious", "honoured"]


def table(rows: int, seed: int = 0, groups: int = 3, seeds: int = 1) -> Columns:
    """Random rows, one an episode, of all columns."""
    rng = np.random.default_rng(seed)
    unions = rng.integers(0, 20, (2, rows))
    inside = (unions * rng.random((2, rows))).astype(int)
    counts = {"fg_i": inside[0], "fg_u": unions[0], "bg_i": inside[1], "bg_u": unions[1]}
    names = np.array([f"group {number}" for number in rng.integers(groups, size=rows)])
    means = {name: rng.random(rows) for name in MEANS}
    return {
        "episode": np.arange(rows),
        "seed": np.arange(rows) % seeds,
        "group": names,
        **counts,
        **means,
        **by_click(rows, rng),
    }


def by_click(rows: int, rng: np.random.Generator) -> Columns:
    """The columns of clicks, of which some objects get fewer than others; IoUs often stay as they are."""
    clicks = rng.integers(1, LIMIT + 1, rows)
    numbers = np.minimum(np.arange(LIMIT), clicks[:, None] - 1)
    ious = np.take_along_axis(rng.integers(0, 4, (rows, LIMIT)) / 4, numbers, axis=1)
    honoured = rng.integers(0, 2, (rows, LIMIT)) * (np.arange(LIMIT) < clicks[:, None])
    return {"clicks": clicks, "ious": ious, "honoured": honoured}


def figure(name: str, rows: Columns, weights: np.ndarray) -> float:
    """The figure of one draw."""
    (value,) = STATISTICS[name](rows, weights[None].astype(float))
    return float(value)


def repeated(rows: Columns, times: np.ndarray) -> Columns:
    return {name: np.repeat(column, times, axis=0) for name, column in rows.items()}


tables = st.builds(table, st.integers(1, 12), st.integers(0, 2**32), st.integers(1, 4))


@pytest.mark.parametrize("name", BY_ROW)
@many
@given(rows=tables, data=st.data())
def test_a_row_of_weight_n_is_n_rows(name: str, rows: Columns, data: st.DataObject) -> None:
    number = len(rows["seed"])
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=number, max_size=number).filter(any)))
    expected = repeated(rows, times)
    assert figure(name, rows, times) == pytest.approx(figure(name, expected, np.ones(times.sum())))


@pytest.mark.parametrize("name", BY_GROUP)
@many
@given(rows=tables, data=st.data())
def test_a_group_of_weight_n_is_n_groups(name: str, rows: Columns, data: st.DataObject) -> None:
    groups, number = np.unique(rows["group"], return_inverse=True)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(groups), max_size=len(groups)).filter(any)))
    expected = {
        name: np.concatenate([column[number == i] for i, n in enumerate(times) for _ in range(n)])
        for name, column in rows.items()
    }
    copies = [(i, copy) for i, n in enumerate(times) for copy in range(n)]
    expected["group"] = np.array([f"{i} {copy}" for i, copy in copies for _ in range((number == i).sum())])
    assert figure(name, rows, times[number]) == pytest.approx(figure(name, expected, np.ones(len(expected["j"]))))


def iou(inside: Any, union: Any) -> float:
    return inside / union if union else 1.0


def counted_clicks(rows: Columns) -> dict[str, float]:
    """The figures of clicks, click by click."""
    right: dict[int, list[int]] = {}
    fell: list[bool] = []
    for clicks, ious, honoured in zip(rows["clicks"], rows["ious"], rows["honoured"], strict=True):
        for number in range(clicks):
            right.setdefault(number, []).append(honoured[number])
            if number:
                fell.append(ious[number] < ious[number - 1])
    every = [one for ones in right.values() for one in ones]
    means = [sum(ious[number] for ious in rows["ious"]) / len(rows["ious"]) for number in range(LIMIT)]
    at = {number: right.get(min(number, LIMIT) - 1, []) for number in AFTER}
    return {
        **{f"IoU@{number}": means[min(number, LIMIT) - 1] for number in AFTER},
        "honoured": sum(every) / len(every),
        **{f"honoured@{number}": iou(sum(ones), len(ones)) for number, ones in at.items()},
        "falls": sum(fell) / max(len(fell), 1),
        **{f"change@{n}": means[n - 1] - means[n - 2] if n <= LIMIT else 0 for n in AFTER[1:]},
        "worst_change": min(after - before for before, after in pairwise(means)),
    }


def counted_quarters(frames: dict[str, list[tuple[float, float]]]) -> dict[str, float]:
    """J by quarters as the official code of DAVIS divides a video."""
    quarters: list[list[float]] = [[], [], [], []]
    for measured in frames.values():
        values = [j for j, _ in measured]
        ends = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int)
        for number, (first, last) in enumerate(pairwise(ends)):
            quarters[number].append(float(np.mean(values[first : last + 1])))
    means = [float(np.mean(each)) for each in quarters]
    return {"decay": means[0] - means[3], **{f"J@quarter{number}": mean for number, mean in enumerate(means, 1)}}


def counted(rows: Columns, name: str) -> float:
    """A figure by its definition, row by row."""
    sums: dict[str, np.ndarray] = {}
    frames: dict[str, list[tuple[float, float]]] = {}
    for i, group in enumerate(rows["group"]):
        sums[group] = sums.get(group, 0) + np.array([rows[key][i] for key in ("fg_i", "fg_u", "bg_i", "bg_u")])
        frames.setdefault(group, []).append((rows["j"][i], rows["f"][i]))
    total = sum(sums.values())
    j, f = np.mean([np.mean(values, axis=0) for values in frames.values()], axis=0)
    assert isinstance(total, np.ndarray)
    return {
        "positive_iou": iou(*total[:2]),
        "class_miou": float(np.mean([iou(*values[:2]) for values in sums.values()])),
        "fb_iou": (iou(*total[:2]) + iou(*total[2:])) / 2,
        "mean_iou": sum(rows["j"]) / len(rows["j"]),
        "J": j,
        "F": f,
        "J&F": (j + f) / 2,
        "recall": np.mean([np.mean([one > 0.5 for one, _ in values]) for values in frames.values()]),
        **counted_quarters(frames),
        **{f"NoC@{at}": sum(rows[f"noc{at}"]) / len(rows["j"]) for at in (80, 85, 90)},
        **{f"NoF@{at}": sum(rows[f"nof{at}"]) / len(rows["j"]) for at in (80, 85, 90)},
        **counted_clicks(rows),
    }[name]


@pytest.mark.parametrize("name", STATISTICS)
@many
@given(rows=tables)
def test_a_figure_is_what_its_definition_says(name: str, rows: Columns) -> None:
    value = figure(name, rows, np.ones(len(rows["seed"])))
    assert value == pytest.approx(counted(rows, name))
    assert (-1 if "change" in name or name == "decay" else 0) <= value <= 1


def test_clicks_of_objects_worked_out_by_hand() -> None:
    rows = table_of(
        [
            {"clicks": 3, "ious": [0.5, 0.4, 0.9], "honoured": [1, 0, 1]},
            {"clicks": 3, "ious": [0.6, 0.4, 0.3], "honoured": [1, 1, 1]},
            # nothing was left to click on
            {"clicks": 1, "ious": [1.0, 1.0, 1.0], "honoured": [1, 0, 0]},
        ]
    )
    expected = {
        "honoured": 6 / 7,
        "honoured@1": 1,
        "honoured@2": 1 / 2,
        "honoured@20": 1,
        "falls": 3 / 4,
        "change@2": -0.3 / 3,
        "change@3": 0.4 / 3,
        "change@20": 0,
        "worst_change": -0.3 / 3,
        "IoU@2": 1.8 / 3,
        "IoU@20": 2.2 / 3,
    }
    assert {name: figure(name, rows, np.ones(3)) for name in expected} == pytest.approx(expected)
    once = {name: column[2:] for name, column in rows.items()}
    assert [figure(name, once, np.ones(1)) for name in ("falls", "worst_change")] == [0, 0]


def test_one_click_alone_neither_falls_nor_changes() -> None:
    rows = table_of([{"clicks": 1, "ious": [0.5], "honoured": [0]}])
    found = {name: figure(name, rows, np.ones(1)) for name in ("honoured", "falls", "worst_change", "IoU@20")}
    assert found == {"honoured": 0, "falls": 0, "worst_change": 0, "IoU@20": 0.5}


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("positive_iou", "episodes"),
        ("class_miou", "episodes"),
        ("fb_iou", "groups"),
        ("J&F", "groups"),
        ("NoC@85", "episodes"),
    ],
)
def test_the_interval_holds_the_value_and_narrows_with_more_episodes(name: str, unit: str) -> None:
    few, more = (measure(table(rows, groups=rows // 5), name, unit) for rows in (40, 640))
    for found in (few, more):
        low, high = found["ci95"]
        assert low < found["value"] < high
        assert found["ci95_seeds"] is None
    narrow, wide = (found["ci95"][1] - found["ci95"][0] for found in (more, few))
    assert narrow < 0.6 * wide


@pytest.mark.parametrize(("name", "unit"), [("positive_iou", "episodes"), ("class_miou", "episodes"), ("J", "groups")])
def test_the_interval_is_that_of_a_plain_bootstrap(name: str, unit: str) -> None:
    rows = table(90, groups=6)
    unit_of = rows["episode"] if unit == "episodes" else np.unique(rows["group"], return_inverse=True)[1]
    rng, values = np.random.default_rng(1), []
    for _ in range(500):
        units = rng.integers(unit_of.max() + 1, size=unit_of.max() + 1)
        drawn = [(i, copy) for copy, one in enumerate(units) for i in np.flatnonzero(unit_of == one)]
        again = {key: column[[i for i, _ in drawn]] for key, column in rows.items()}
        if unit == "groups":  # a group drawn twice is two
            again["group"] = np.array([str(copy) for _, copy in drawn])
        values.append(counted(again, name))
    assert measure(rows, name, unit)["ci95"] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.03)


def test_frames_of_one_video_do_not_narrow_the_interval_that_draws_videos() -> None:
    # two videos, all frames alike
    rows = table_of([{"episode": i, "seed": 0, "group": str(i // 20), "j": 0.1 + 0.6 * (i // 20)} for i in range(40)])
    assert measure(rows, "J", "groups")["ci95"] == pytest.approx([0.1, 0.7])
    low, high = measure(rows, "J", "episodes")["ci95"]
    assert 0.2 < low < high < 0.6


def test_labels_of_one_episode_are_drawn_together() -> None:
    rows = table_of([{"episode": i // 2, "seed": 0, "group": "cow", "fg_i": i % 2, "fg_u": 1} for i in range(20)])
    assert measure(rows, "positive_iou", "episodes")["ci95"] == [0.5, 0.5]


def test_the_interval_over_seeds_is_student_s() -> None:
    values = {3: 0.5, 5: 0.6, 9: 0.7}
    rows = table_of(
        [
            {"episode": i, "seed": seed, "group": "cow", "ious": [value, 1.0]}
            for seed, value in values.items()
            for i in range(4)
        ]
    )
    found = measure(rows, "IoU@1", "episodes")
    # t of 2 degrees of freedom at 97.5 % is 4.3027; the standard deviation is 0.1
    half = 4.302653 * 0.1 / 3**0.5
    assert found["value"] == pytest.approx(0.6)
    assert found["ci95_seeds"] == pytest.approx([0.6 - half, 0.6 + half])


def test_seeds_are_averaged_not_pooled() -> None:
    rows = table_of(
        [
            {"episode": 0, "seed": 0, "group": "cow", "fg_i": 1, "fg_u": 1},
            {"episode": 1, "seed": 1, "group": "cow", "fg_i": 0, "fg_u": 99},
        ]
    )
    assert measure(rows, "positive_iou", "episodes")["value"] == 0.5


def test_the_same_table_has_the_same_interval() -> None:
    assert measure(table(40, seeds=2), "fb_iou", "episodes") == measure(table(40, seeds=2), "fb_iou", "episodes")


def shifted(rows: Columns, by: float) -> Columns:
    return {**rows, "j": rows["j"] + by}


@pytest.mark.parametrize("unit", ["episodes", "groups"])
def test_a_model_does_not_differ_from_itself(unit: str) -> None:
    rows = table(30, seeds=3)
    found = paired(rows, rows, "J", unit)
    assert found == {"value": 0, "ci95": [0, 0], "ci95_seeds": [0, 0]}


def test_a_difference_is_ours_minus_theirs_and_as_sure_as_the_pairs_are_alike() -> None:
    theirs = table(60, seeds=3)
    ours = shifted(theirs, 0.125)
    for one, other, sign in ((ours, theirs, 1), (theirs, ours, -1)):
        found = paired(one, other, "J", "episodes")
        assert found["ci95_seeds"] is not None
        for value in (found["value"], *found["ci95"], *found["ci95_seeds"]):
            assert value == pytest.approx(sign * 0.125)


def test_pairs_say_more_than_two_intervals() -> None:
    theirs, other = table(60), table(60, seed=1)
    ours = {**theirs, "j": 0.9 * theirs["j"] + 0.1 * other["j"] + 0.02}

    def width(low: float, high: float) -> float:
        return high - low

    apart = [width(*measure(rows, "J", "episodes")["ci95"]) for rows in (ours, theirs)]
    unpaired = width(*paired({**theirs, "j": other["j"]}, theirs, "J", "episodes")["ci95"])
    found = width(*paired(ours, theirs, "J", "episodes")["ci95"])
    assert 0 < found < 0.3 * min(apart)
    assert unpaired > max(apart)


def test_figures_are_checked_before_anything_is_measured() -> None:
    check_figures(list(STATISTICS), COLUMNS)
    with pytest.raises(DataError, match="no figure 'positive_uio'; did you mean 'positive_iou'"):
        check_figures(["positive_uio"], COLUMNS)
    with pytest.raises(DataError, match="no figure 'zzz'; choose from positive_iou, class_miou"):
        check_figures(["zzz"], COLUMNS)
    with pytest.raises(DataError, match=r"figures=\[\]: expected at least one of positive_iou"):
        check_figures([], COLUMNS)
    with pytest.raises(DataError, match="The figure 'J&F' is of 'f', and only fg_i, j are measured; leave it out"):
        check_figures(["J", "J&F"], ["fg_i", "j"])
