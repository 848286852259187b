"""Class masks as objects: what is apart is two, what is a piece is one, and VOC asks for them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.archives import write_image, write_mask, write_voc

from guided_seg.data.sources.regions import PIECE, split
from guided_seg.data.sources.voc import Voc
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError


@given(
    labels=arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 1, 7, IGNORE])
    )
)
def test_regions_split_classes_and_nothing_else(labels: np.ndarray) -> None:
    found = split(labels)
    assert np.array_equal(found == 0, labels == 0)
    assert np.array_equal(found == IGNORE, labels == IGNORE)
    numbers = [n for n in np.unique(found).tolist() if n not in (0, IGNORE)]
    assert numbers == list(range(1, len(numbers) + 1))
    for number in numbers:
        assert len(np.unique(labels[found == number])) == 1
        # a region is never divided
        _, regions = cv2.connectedComponents((labels == labels[found == number][0]).view(np.uint8))
        for region in np.unique(regions[found == number]):
            assert region
            assert (found[regions == region] == found[regions == region][0]).sum() > 0


def test_what_lies_apart_is_two_and_a_piece_belongs_to_the_nearest() -> None:
    labels = np.zeros((20, 60), np.uint8)
    labels[2:18, 2:20], labels[2:18, 40:58] = 3, 3
    labels[8:10, 36:38] = 3
    assert PIECE * 16 * 18 > 4
    found = split(labels)
    assert set(np.unique(found)) == {0, 1, 2}
    assert found[5, 5] != found[5, 50]
    assert found[8, 36] == found[5, 50]


def archive(root: Path) -> Path:
    """One photo with two cats apart and a dog."""
    labels = np.zeros((60, 90), np.uint8)
    labels[5:25, 5:25], labels[35:55, 5:25], labels[10:40, 50:80] = 8, 8, 12
    write_voc(root, {"a": ()}, {"b": ()})
    for name in ("a", "b"):
        write_image(root / f"JPEGImages/{name}.jpg", 60, 90)
        write_mask(root / f"SegmentationClass/{name}.png", labels)
    return root


@pytest.mark.parametrize(("instances", "groups"), [("regions", ["cat", "cat", "dog"]), (None, ["cat", "dog"])])
def test_voc_asks_for_regions(instances: str | None, groups: list[str], tmp_path: Path) -> None:
    source = Voc(archive(tmp_path), "train", instances=instances)
    assert sorted(group for group, _ in source.objects) == groups
    shares = [(source.load(target.key).labels == target.value).sum() for _, target in source.objects]
    assert sorted(shares) == ([400, 400, 900] if instances else [800, 900])


def test_what_instances_may_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.instances.*regoins.*regions"):
        Voc(archive(tmp_path), "train", instances="regoins")
