"""The sources on real archives, where there are any."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from guided_seg.data.davis import Davis
from guided_seg.data.images import read_labels
from guided_seg.data.pascal import VOC_CLASSES
from guided_seg.data.source import IndexedSource
from guided_seg.data.voc import Voc

DATA = Path(os.environ.get("GUIDED_SEG_DATA") or Path(__file__).parents[2] / "../shared/data").resolve()
needs_voc, needs_davis = (
    pytest.mark.skipif(
        not (DATA / name).is_dir(),
        reason=f"no {name}/ in {DATA}; set GUIDED_SEG_DATA to the folder that holds it",
    )
    for name in ("voc2012", "davis")
)


@pytest.fixture(scope="module")
def voc() -> dict[str, Voc]:
    return {split: Voc(DATA / "voc2012", split, ["cow"], cache_mb=8) for split in ("train", "val", "test")}


def _images(source: IndexedSource) -> set[str]:
    return {target.key.split("/")[1] for _, target in source.objects}


@needs_voc
def test_voc_splits_without_cows(voc: dict[str, Voc]) -> None:
    assert {split: len(_images(source)) for split, source in voc.items()} == {
        "train": 1583,
        "val": 394,
        "test": 67,
    }
    assert voc["test"].count("semantic") == voc["test"].count("interactive") == 67
    assert list(voc["test"].classes) == ["cow"]


@needs_voc
@pytest.mark.parametrize("split", ["train", "val"])
def test_no_cow_reaches_training_or_model_selection(voc: dict[str, Voc], split: str) -> None:
    cow = VOC_CLASSES.index("cow") + 1
    assert "cow" not in voc[split].classes
    masks = (DATA / "voc2012/SegmentationClass" / f"{image}.png" for image in sorted(_images(voc[split])))
    assert not any((read_labels(mask) == cow).any() for mask in masks)


@needs_voc
def test_voc_episodes_load(voc: dict[str, Voc]) -> None:
    rng = np.random.default_rng(0)
    for mode in voc["train"].modes:
        task = voc["train"].sample(mode, 1, rng)
        sample = voc["train"].load(task.query.key)
        assert sample.image.shape[:2] == sample.labels.shape
        assert (sample.labels == task.query.values[0]).sum() >= 100


@needs_davis
def test_davis_splits() -> None:
    test, train, val = (Davis(DATA / "davis", split) for split in ("test", "train", "val"))
    names = {"blackswan", "breakdance", "car-roundabout", "goat", "horsejump-high", "soapbox"}
    assert set(test.videos) == names
    assert test.count("interactive") == 6
    assert all(target.key.endswith("/00000") for _, target in test.objects)
    assert (len(train.videos), len(val.videos)) == (7, 1)
    assert not set(train.videos) & set(val.videos)


@needs_davis
def test_davis_masks_of_both_encodings_agree() -> None:
    one_bit = Davis(DATA / "davis", "test").load("soapbox/00000")
    assert one_bit.image.shape[0] == 240
    assert np.unique(one_bit.labels).tolist() == [0, 1]
    black_and_white = read_labels(DATA / "davis/Annotations/480p/soapbox/00000.png", binary=True)
    assert np.unique(black_and_white).tolist() == [0, 1]
    assert abs(one_bit.labels.mean() - black_and_white.mean()) < 0.01
