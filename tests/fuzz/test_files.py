"""Spoiled files of data: each is read right, or refused in a sentence."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from fuzz.bases import COCO, IMAGES, MASKS, NAMES, POLYGONS, SUFFIXES, check_source, folder, picture, write
from fuzz.hostile import json_files, spoiled, texts, trees
from fuzz.profile import examples, only_user_errors
from hypothesis import given
from hypothesis import strategies as st

from guided_seg.data.coco.coco import Coco
from guided_seg.data.files.pairs import by_stem
from guided_seg.data.frozen.episode_file import FrozenEpisode, FrozenEpisodes, FrozenView, _digest, mark_of
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.images import check_whole, image_size, read_bright, read_image, read_labels
from guided_seg.data.sources.folder import Folder


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spoiled")


@examples(60)
@given(data=json_files(COCO))
def test_coco_json(root: Path, data: bytes) -> None:
    images = {f"val2017/{number}.jpg": IMAGES["JPEG"] for number in range(2)}
    write(root, {**images, "annotations/instances_val2017.json": data})
    with only_user_errors(data):
        check_source(Coco(root, "test"))


@examples(40)
@given(label=texts(POLYGONS), listed=texts("0\n1\n"))
def test_polygons(root: Path, label: bytes, listed: bytes) -> None:
    images = {f"images/{number}.jpg": IMAGES["JPEG"] for number in range(2)}
    write(root, {**images, "labels/0.txt": label, "labels/1.txt": POLYGONS.encode(), "test.txt": listed})
    with only_user_errors(label, listed):
        check_source(Coco(root, "test"))


@examples(60)
@given(kind=st.sampled_from(sorted(IMAGES)), data=st.data())
def test_images(root: Path, kind: str, data: st.DataObject) -> None:
    changed = data.draw(spoiled(IMAGES[kind]) | st.sampled_from(sorted(IMAGES.values())))
    files = folder(NAMES[:2])
    del files["images/0.jpg"]
    name = f"images/0.{SUFFIXES[kind]}"
    write(root, {**files, name: changed})
    with only_user_errors(name, changed):
        check_source(Folder(root, "test", whole=True))
    with only_user_errors(name, changed):
        check_whole(root / name)
        pixels = read_image(root / name)
        assert image_size(root / name) == pixels.shape[:2]


@examples(60)
@given(kind=st.sampled_from(sorted(MASKS)), data=st.data())
def test_masks(root: Path, kind: str, data: st.DataObject) -> None:
    changed = data.draw(spoiled(MASKS[kind]) | st.sampled_from(sorted(MASKS.values())))
    write(root, folder(NAMES[:2]) | {"masks/0.png": changed})
    with only_user_errors(changed):
        check_source(Folder(root, "test", whole=True))
    for read in (read_labels, read_bright):
        with only_user_errors(changed):
            found = read(root / "masks" / "0.png")
            assert found.dtype == np.uint8
            assert found.ndim == 2


@examples(60)
@given(data=st.data())
def test_lists(root: Path, data: st.DataObject) -> None:
    lists = {"train.txt": "2\n3\n4\n", "val.txt": "1\n", "test.txt": "0\n5\n", "classes.txt": "cat\ndog\n"}
    changed = data.draw(st.sampled_from(sorted(lists)))
    content = {name: text.encode() for name, text in lists.items()} | {changed: data.draw(texts(lists[changed]))}
    write(root, folder() | content)
    for split in ("train", "test"):
        with only_user_errors(changed, content[changed]):
            check_source(Folder(root, split))


@examples(40)
@given(
    names=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20), max_size=3)
)
def test_names_of_files(root: Path, names: list[str]) -> None:
    files = folder(NAMES[:2])
    for name in names:
        if name not in (".", "..") and len(name.encode()) < 200:
            files |= {f"images/{name}": picture().tobytes(), f"images/{name}.png": IMAGES["PNG"]}
            files |= {f"masks/{name}.png": MASKS["P"]}
    try:
        write(root, files)
    except OSError:  # no name on this file system
        return
    with only_user_errors(names):
        check_source(Folder(root, "test", whole=True))
    with only_user_errors(names):
        assert {"0", "1"} <= set(by_stem(root / "images", (".jpg", ".png")))


def frozen(source: Folder) -> FrozenEpisodes:
    """An episode of each mode."""
    images = {key: mark_of(source.load(key)) for key in ("0", "1")}
    dots = ((6, 6, 1), (30, 2, 0), (10, 40, 0))
    query, shown = FrozenView("0", (1,), dots), FrozenView("1", (1,), dots)
    episodes = (
        FrozenEpisode("semantic", 0, query, (shown,), ("cat",)),
        FrozenEpisode("interactive", 1, query, (query,), ("cat",)),
        FrozenEpisode("video", 2, query, (shown, shown), ("cat",), ways=1, last=True),
    )
    return FrozenEpisodes("folder", "test", {"shots": 1, "points": 2}, images, episodes)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(write(tmp_path_factory.mktemp("own"), folder(NAMES[:2])), "test", whole=True)


@examples(60)
@given(data=st.data())
def test_frozen_episodes(root: Path, source: Folder, data: st.DataObject) -> None:
    content = json.loads(json.dumps(frozen(source)._content()))
    if data.draw(st.integers(0, 9)):
        changed = data.draw(trees(content))
        if isinstance(changed, dict):
            changed = changed | {"checksum": _digest(changed)}
        raw = gzip.compress(json.dumps(changed).encode())
    else:
        whole = json.dumps(content | {"checksum": _digest(content)}).encode()
        raw = data.draw(spoiled(gzip.compress(whole)) | spoiled(whole).map(gzip.compress))
    path = write(root, {"episodes.json.gz": raw}) / "episodes.json.gz"
    with only_user_errors(raw):
        items = EvaluationEpisodes(source, FrozenEpisodes.read(path))
        for number in range(len(items)):
            item = items[number]
            for points in (1, None):
                episode = item.with_setting(1, points)
                assert episode is None or episode.target.shape == episode.query.shape[1:]
