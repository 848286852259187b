"""The index of an archive: what it counts, and that it is never out of date."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import davis_tree, labels, spoil_jpeg, voc_tree, write_image, write_mask
from PIL import Image

from guided_seg.data.preparation import index as index_module
from guided_seg.data.preparation.census import MakeSource, take_census
from guided_seg.data.preparation.index import NAME, Index, content_key, ensure_index, find_index
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.voc import Voc
from guided_seg.errors import DataError
from guided_seg.report.results import write_json

SQUARE = 144
"""Pixels of a square."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six images of one's own, of which each split has some."""
    for number in range(6):
        write_image(tmp_path / f"root/images/{number}.jpg")
        write_mask(tmp_path / f"root/masks/{number}.png", labels(1, 2))
    return tmp_path / "root"


def make(root: Path, **options: Any) -> MakeSource:
    return partial(Folder, root=root, **options)


def ensure(root: Path, **options: Any) -> Index:
    source = make(root, **options)
    return ensure_index(root, source, source.keywords)[0]  # type: ignore[attr-defined]


@pytest.fixture
def censuses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every time that images are decoded."""
    taken: list[int] = []

    def counted(*args: Any) -> Any:
        taken.append(1)
        return take_census(*args)

    monkeypatch.setattr(index_module, "take_census", counted)
    return taken


# ---- what it counts ----


def test_classes_and_instances_of_voc(tmp_path: Path) -> None:
    census = take_census(partial(Voc, root=voc_tree(tmp_path)))
    both = {name: {"number": 2, "pixels": 2 * SQUARE} for name in ("cat", "dog")}
    assert census["splits"]["train"] == {"images": 4, "classes": both, "instances": both, "videos": {}}
    assert census["splits"]["val"] == {"images": 2, "classes": both, "instances": both, "videos": {}}
    assert census["sizes"] == {"40 x 60": 6}
    assert census["broken"] == []


def test_objects_of_videos(tmp_path: Path) -> None:
    write_mask(davis_tree(tmp_path) / "Annotations/480p/dog/00001.png", labels(1))
    found = take_census(partial(Davis, root=tmp_path))["splits"]["test"]
    assert found["images"] == 2
    assert found["videos"] == {
        "dog/1": {"frames": 2, "visible": 2, "pixels": 2 * SQUARE},
        "dog/2": {"frames": 2, "visible": 1, "pixels": SQUARE},
    }


def test_how_the_data_is_used_does_not_matter(tmp_path: Path) -> None:
    root = voc_tree(tmp_path)
    plain = take_census(partial(Voc, root=root))
    assert take_census(partial(Voc, root=root, held_out=["cat"], min_pixels=500, oracle=True, balance=1.0)) == plain


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def shrink(path: Path) -> None:
    Image.open(path).resize((30, 20)).save(path)


def colour(path: Path) -> None:
    Image.open(path).convert("RGB").save(path)


def scratch(path: Path) -> None:
    """Bytes in the middle that no decoder understands, with the end marker as it was."""
    content = path.read_bytes()
    path.write_bytes(content[:20] + bytes(20) + content[40:])


@pytest.mark.parametrize(
    ("file", "harm", "sentence"),
    [
        ("images/2.jpg", cut, "The image images/2.jpg is cut off"),
        (
            "images/2.jpg",
            shrink,
            "The image images/2.jpg is 20 x 30 (height x width) but its mask masks/2.png is 40 x 60",
        ),
        ("images/2.jpg", spoil_jpeg, "The image images/2.jpg cannot be decoded"),
        ("masks/2.png", cut, "The mask masks/2.png cannot be decoded"),
        ("masks/2.png", colour, "The mask masks/2.png is a picture of type RGB"),
        ("masks/2.png", scratch, "The mask masks/2.png cannot be decoded"),
    ],
)
def test_broken_files_are_listed(root: Path, file: str, harm: Callable[[Path], None], sentence: str) -> None:
    harm(root / file)
    with pytest.raises(DataError):
        Folder(root, "train").load("2")
    index = ensure(root)
    (told,) = index["broken"]
    assert sentence in told
    assert str(root) not in json.dumps(index)
    assert {split: found["images"] for split, found in index["splits"].items()} == {"train": 2, "val": 1, "test": 2}
    assert sum(index["sizes"].values()) == 5


def test_a_listed_file_that_is_missing_is_broken(tmp_path: Path) -> None:
    root = voc_tree(tmp_path)
    (root / "JPEGImages/2007_000001.jpg").unlink()
    (root / "SegmentationObject/2007_000002.png").unlink()
    census = take_census(partial(Voc, root=root))
    image, mask = census["broken"]
    assert image.startswith("The mask 2007_000001.png has no image")
    assert mask.startswith("The image 2007_000002.jpg has no mask")
    assert census["splits"]["train"]["images"] == 3


def test_masks_that_mean_nothing_are_listed(tmp_path: Path) -> None:
    root = voc_tree(tmp_path)
    write_mask(root / "SegmentationClass/2007_000001.png", labels(21))
    write_mask(root / "SegmentationClass/2007_000003.png", labels())
    unknown, empty = take_census(partial(Voc, root=root))["broken"]
    assert "2007_000001.png holds the value 21" in unknown
    assert "2007_000003.png holds only the label 0" in empty


def test_a_video_with_a_broken_frame(tmp_path: Path) -> None:
    root = davis_tree(tmp_path)
    cut(root / "Annotations/480p/dog/00000.png")
    census = take_census(partial(Davis, root=root))
    (told,) = census["broken"]
    assert "dog/00000.png cannot be decoded" in told
    assert census["splits"]["test"]["images"] == 1


def test_outside_of_a_census_the_first_fault_still_ends_all(root: Path) -> None:
    cut(root / "masks/2.png")
    ensure(root)
    with pytest.raises(DataError, match="cannot be decoded"):
        Folder(root, "train")


# ---- when it is made anew ----


def one_pixel(root: Path) -> None:
    """Another pixel in a file of the same size and the same time."""
    path = root / "masks/3.png"
    before = path.stat()
    values = np.array(Image.open(path))
    values[30, 30] = 1
    write_mask(path, values)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def add(root: Path) -> None:
    write_image(root / "images/6.jpg")
    write_mask(root / "masks/6.png", labels(1, 2))


def remove(root: Path) -> None:
    (root / "images/3.jpg").unlink()
    (root / "masks/3.png").unlink()


def rename(root: Path) -> None:
    (root / "images/3.jpg").rename(root / "images/x.jpg")
    (root / "masks/3.png").rename(root / "masks/x.png")


def swap(root: Path) -> None:
    """The same names and the same bytes, but not together."""
    write_mask(root / "masks/3.png", labels(1))
    ensure(root)
    (root / "masks/3.png").rename(root / "masks/x.png")
    (root / "masks/4.png").rename(root / "masks/3.png")
    (root / "masks/x.png").rename(root / "masks/4.png")


def choose(root: Path) -> None:
    for split, names in (("train", "012"), ("val", "3"), ("test", "45")):
        (root / f"{split}.txt").write_text("\n".join(names))


def spoil_index(root: Path) -> None:
    (root / NAME).write_text((root / NAME).read_text()[:-20])


def forge_format(root: Path) -> None:
    (root / NAME).write_text(json.dumps(json.loads((root / NAME).read_text()) | {"format": 0}))


@pytest.mark.parametrize("change", [one_pixel, add, remove, rename, swap, choose, spoil_index, forge_format])
def test_a_change_makes_it_anew(root: Path, change: Callable[[Path], None], censuses: list[int]) -> None:
    ensure(root)
    change(root)
    censuses.clear()
    index = ensure(root)
    assert len(censuses) == 1
    assert {split: found["images"] for split, found in index["splits"].items()} == {
        split: len(Folder(root, split).pairs) for split in ("train", "val", "test")
    }
    assert ensure(root) == index
    assert len(censuses) == 1


def test_another_version_of_the_index_makes_it_anew(
    root: Path, censuses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(root)
    monkeypatch.setattr(index_module, "FORMAT", 2)
    assert ensure(root)["format"] == 2
    assert len(censuses) == 2


def touch(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (1, 1))


def hide(root: Path) -> None:
    (root / ".DS_Store").write_bytes(b"x")
    (root / ".thumbnails").mkdir()
    (root / ".thumbnails/a.jpg").write_bytes(b"x")


def rewrite(root: Path) -> None:
    content = (root / "masks/3.png").read_bytes()
    (root / "masks/3.png").unlink()
    (root / "masks/3.png").write_bytes(content)


@pytest.mark.parametrize("change", [touch, hide, rewrite])
def test_what_changes_nothing_does_not(root: Path, change: Callable[[Path], None], censuses: list[int]) -> None:
    first = ensure(root)
    change(root)
    assert ensure(root) == first
    assert len(censuses) == 1


def test_settings_of_use_do_not_but_those_that_choose_files_do(root: Path, censuses: list[int]) -> None:
    first = ensure(root)
    assert ensure(root, held_out=["1"], min_pixels=7, cache_mb=3.0, balance=0.5, oracle=True) == first
    assert len(censuses) == 1
    assert ensure(root, whole=True)["splits"]["train"]["images"] == 6
    assert len(censuses) == 2


def test_it_moves_with_its_root(root: Path, tmp_path: Path, censuses: list[int]) -> None:
    first = ensure(root)
    shutil.copytree(root, tmp_path / "elsewhere")
    assert ensure(tmp_path / "elsewhere") == first
    assert len(censuses) == 1


def test_it_is_found_only_while_it_is_true(root: Path) -> None:
    assert find_index(root, {}) is None
    index = ensure(root)
    assert find_index(root, {}) == index
    one_pixel(root)
    assert find_index(root, {}) is None


def test_it_lies_in_the_cache_where_the_root_is_read_only(
    root: Path, tmp_path: Path, censuses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, data: Any) -> Path:
        if root in path.parents:
            raise OSError(errno.EROFS, "Read-only file system")
        return write_json(path, data)

    monkeypatch.setattr(index_module, "write_json", write)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    index, path = ensure_index(root, make(root), {})
    assert path.parent == tmp_path / "cache/guided_seg"
    assert not (root / NAME).exists()
    assert ensure_index(root, make(root), {}) == (index, path)
    assert len(censuses) == 1
    one_pixel(root)
    assert ensure_index(root, make(root), {})[0] != index
    assert len(censuses) == 2


def test_links_are_followed_but_not_in_a_circle(root: Path, tmp_path: Path) -> None:
    (root / "images").rename(tmp_path / "pictures")
    (root / "images").symlink_to(tmp_path / "pictures")
    (root / "self").symlink_to(root)
    key = content_key(root, {})
    cut(tmp_path / "pictures/3.jpg")
    assert content_key(root, {}) != key


FILES = st.dictionaries(st.sampled_from(["a", "b", "c/a", "c/b", "ab"]), st.binary(max_size=3), max_size=4)


@settings(max_examples=60, deadline=None)
@given(FILES, FILES)
def test_keys_are_equal_only_where_paths_and_bytes_are(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    def key(files: dict[str, bytes]) -> str:
        with TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).parent.mkdir(exist_ok=True)
                (Path(folder) / name).write_bytes(content)
            return content_key(Path(folder), {})

    assert (key(one) == key(other)) == (one == other)
