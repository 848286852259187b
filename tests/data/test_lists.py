"""Lists as editors, Excel and other systems leave them, in every layout that has lists."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from guided_seg.data.coco.coco import Coco
from guided_seg.data.files.verify import read_list, read_names
from guided_seg.data.indexed import IndexedSource
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.fss1000 import Fss1000
from guided_seg.data.sources.sbd import Sbd
from guided_seg.data.sources.voc import Voc
from guided_seg.errors import DataError

Open = Callable[[], IndexedSource]
Rename = Callable[[str], str]


@pytest.fixture(params=["folder", "voc", "sbd", "davis", "fss1000", "coco"])
def listed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Callable[[str], Open]]:
    """The list of train of a layout, and what writes the data of two names and opens it."""

    def write(name: str) -> Open:
        make = {"fss1000": "fss", "coco": "folder"}.get(request.param, request.param)
        fixture = request.getfixturevalue(make)
        names, other = [f"{name}1", f"{name}2"], [f"{name}3", f"{name}4"]
        if make == "folder":
            fixture(dict.fromkeys((*names, *other), (1,)))
            (tmp_path / "labels").mkdir()
            for each in (*names, *other):
                (tmp_path / f"labels/{each}.txt").write_text("0 .1 .1 .5 .1 .5 .5\n")
        elif make == "fss":
            fixture([*names, *other])
        elif make == "davis":
            fixture({each: [(1,), (1,)] for each in names}, {each: [(1,), (1,)] for each in other})
        else:
            fixture(dict.fromkeys(names, (1,)), dict.fromkeys(other, (1,)))
        root = {"sbd": tmp_path / "benchmark_RELEASE/dataset", "fss1000": tmp_path / "fewshot_data"}.get(
            request.param, tmp_path
        )
        source = {"folder": Folder, "voc": Voc, "sbd": Sbd, "davis": Davis, "fss1000": Fss1000, "coco": Coco}
        return partial(source[request.param], root, "train", min_pixels=1)  # type: ignore[return-value]

    place = {
        "voc": "ImageSets/Segmentation/train.txt",
        "davis": "ImageSets/2016/train.txt",
        "sbd": "benchmark_RELEASE/dataset/train.txt",
        "fss1000": "fewshot_data/train.txt",
    }
    return tmp_path / place.get(request.param, "train.txt"), write


@pytest.mark.parametrize(
    ("mark", "encoding"), [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (b"", "utf-8")]
)
def test_a_list_with_a_mark_and_windows_line_ends(
    listed: tuple[Path, Callable[[str], Open]], mark: bytes, encoding: str
) -> None:
    path, write = listed
    open_source = write("naïve")
    path.write_bytes(mark + "naïve1  \r\n\r\n\tnaïve2\r\n".encode(encoding))
    assert len(open_source().objects) >= 1


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "latin-1"])
def test_a_list_in_another_encoding_is_a_sentence(listed: tuple[Path, Callable[[str], Open]], encoding: str) -> None:
    path, write = listed
    open_source = write("naïve")
    path.write_bytes("naïve1\nnaïve2\n".encode(encoding))
    with pytest.raises(DataError, match=r"train\.txt .*line 1.*save it again as UTF-8.*iconv") as caught:
        open_source()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("files", "names"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_are_one_character_or_two(listed: tuple[Path, Callable[[str], Open]], files: str, names: str) -> None:
    path, write = listed
    open_source = write(unicodedata.normalize(files, "naïve"))  # type: ignore[arg-type]
    text = unicodedata.normalize(names, "naïve")  # type: ignore[arg-type]
    path.write_text(f"{text}1\n{text}2\n", encoding="utf-8")
    source = open_source()
    assert len(source.objects) >= 1
    assert source.load(source.objects[0][1].key).image.size


def test_a_list_that_is_a_folder_is_a_sentence(listed: tuple[Path, Callable[[str], Open]]) -> None:
    path, write = listed
    open_source = write("a")
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises(DataError, match=r"train\.txt is a folder, where a file is expected"):
        open_source()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("p1.jpg", r"names 'p1\.jpg', .* \(1 of its 2 names are not\); write 'p1', as lists have names without suffix"),
        ("images/p1.jpg", "write 'p1'"),
        ("p1;train", "write 'p1'"),
        ("p1,1", "write 'p1'"),
        ("P1", "write 'p1'"),
        ("p1\u200b", r"names 'p1\\u200b', .*; write 'p1'"),
        ("# names", "names '# names', .*; correct the list"),
    ],
)
def test_the_name_that_was_meant_is_said(folder: Callable[..., Path], line: str, expected: str) -> None:
    root = folder({f"p{i}": (1,) for i in range(5)})
    (root / "train.txt").write_text(f"p0\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=expected):
        Folder(root, "train")


def test_an_image_and_its_mask_pair_up_whichever_system_named_them(
    tmp_path: Path, image: Callable[..., Path], mask: Callable[..., Path], squares: Callable[..., np.ndarray]
) -> None:
    for i in range(5):
        image(tmp_path / f"images/cafe\u0301{i}.jpg")
        mask(tmp_path / f"masks/caf\u00e9{i}.png", squares(1))
    assert len(Folder(tmp_path, "train", whole=True).objects) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat\n\ncow\n", "Line 2 of .* is blank, but line N names value N"),
        ("cat\ncow\ncat\n", r"names 'cat' twice \(lines 1 and 3\)"),
        ("\n\n", "is empty"),
        ("\ncat\n", "Line 1 of .* is blank"),
    ],
)
def test_class_names_keep_their_numbers(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=expected):
        read_names(path)
    path.write_bytes(codecs.BOM_UTF8 + b"cat\r\nred cow \r\n\r\n")
    assert read_names(path) == ["cat", "red cow"]


def test_a_line_that_is_too_long_for_a_name(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("a" * 5000)
    with pytest.raises(DataError, match=r"has the line 'aaa.*\.\.\.'; expected one name a line") as caught:
        read_list(path)
    assert len(str(caught.value)) < 300
