"""Sources of image and mask files: pairs on disk, and how to load them."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from guided_seg.data.files.faults import nothing_to_segment
from guided_seg.data.images import image_orientation, read_image, read_labels
from guided_seg.data.indexed import IndexedSource
from guided_seg.data.source import Sample, reading
from guided_seg.data.sources.tables import Tables
from guided_seg.errors import BrokenFile, DataError
from guided_seg.files.cache import Cache
from guided_seg.files.text import same_form

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"),
)
MASK_SUFFIXES = (".png",)

BRIGHT_SUFFIXES = (*IMAGE_SUFFIXES, ".gif")
"""Suffixes of masks that ``data.masks=black_white`` thresholds; lossy formats are safe there."""

SYSTEM_NAMES = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini")
"""Files and folders that macOS, Synology and Windows create."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An image file and the file of its label map.

    Attributes:
        image: the image file.
        mask: the mask file.
        read: reads label values from the mask file; raises `BrokenFile`.
    """

    image: Path
    mask: Path
    read: Callable[[Path], UInt8[np.ndarray, "H W"]] = read_labels

    def check_sizes(self, image: Sequence[int], mask: Sequence[int]) -> None:
        """Raise `BrokenFile` unless both (height, width) are equal."""
        if tuple(image) != tuple(mask):
            raise BrokenFile(
                f"The image {self.image} is {image[0]} x {image[1]} (height x width) but its mask "
                f"{self.mask} is {mask[0]} x {mask[1]}; {self._fit(image, mask)}."
            )

    def _fit(self, image: Sequence[int], mask: Sequence[int]) -> str:
        """Advice on how to make a mask of another size fit."""
        if tuple(image) != tuple(mask)[::-1]:
            return "resize the mask (nearest neighbour)"
        if (how := image_orientation(self.image)) == 1:
            return "one of them is turned by a quarter, so turn it back"
        return (
            f"the image is turned as its orientation {how} says, and the mask seems to be drawn on the pixels as they "
            "are stored, so turn the mask likewise, or take the orientation out of the image (exiftool "
            "-Orientation= -XMP-tiff:Orientation= FILE)"
        )

    def check_both_exist(self) -> None:
        """Raise `DataError` if a file is missing."""
        if not self.image.is_file() and not self.mask.is_file():
            raise DataError(
                f"Neither the image {self.image} nor its mask {self.mask} exists; add both, or correct their name in "
                "the list (without a suffix)."
            )
        for kind, path, partner_kind, partner in (
            ("image", self.image, "mask", self.mask),
            ("mask", self.mask, "image", self.image),
        ):
            with reading(path):
                if path.is_file():
                    continue
                if path.is_symlink():
                    raise DataError(
                        f"The {kind} {path} is a symbolic link to {path.readlink()}, where there is no file; put the "
                        f"file itself in its place, or remove it with its {partner_kind} and their list entry."
                    )
            raise DataError(
                f"The {partner_kind} {partner.name} has no {kind} {path}; add the {kind}, or remove the "
                f"{partner_kind} and its list entry.{_instead(path, kind)}"
            )


class FileSource(IndexedSource):
    """An `IndexedSource` of files; keys are short names such as ``"bear/00000"``.

    Args:
        name: for messages and meta.
        pairs: the files of each key.
        tables: the tasks, with keys of ``pairs``.
        cache_mb: size of each process's LRU cache of decoded samples, in megabytes; 0 for none.
        balance: class-balanced sampling, see `IndexedSource`.

    Raises:
        DataError: the tables are empty.
    """

    def __init__(
        self,
        name: str,
        pairs: Mapping[str, Pair],
        tables: Tables,
        cache_mb: float = 0.0,
        balance: float = 1.0,
    ) -> None:
        super().__init__(name, tables.objects, tables.classes, tables.videos, balance)
        if not self.modes:
            masks = {pair.mask for pair in pairs.values()}
            raise nothing_to_segment(name, pairs.keys(), masks | {mask.parent for mask in masks})
        self._pairs = pairs
        self._cache = Cache(attrgetter("nbytes"), cache_mb)

    @property
    def pairs(self) -> Mapping[str, Pair]:
        """The files of each key of the split, including keys without tasks."""
        return self._pairs

    def load(self, key: Hashable) -> Sample:
        """Load an image and its label map. Raises `BrokenFile` if one cannot be read or their sizes differ."""
        pair = self._pairs[str(key)]
        return self._cache.get(key, lambda: read_pair(pair))

    def image_keys(self) -> list[Hashable]:
        """See `IndexedSource.image_keys`; several label maps may belong to one image."""
        return list({self.image_file(key): key for key in super().image_keys()}.values())

    def image_files(self) -> set[Path]:
        """See `Source.image_files`."""
        return {self.image_file(target.key) for target in self.targets()}

    def image_file(self, key: Hashable) -> Path:
        """The image file of a key."""
        return self._pairs[str(key)].image


def read_pair(pair: Pair) -> Sample:
    """Decode both files of a pair. Raises `BrokenFile`."""
    image, labels = read_image(pair.image), pair.read(pair.mask)
    pair.check_sizes(image.shape[:2], labels.shape)
    return Sample(image, labels)


BLACK_AND_WHITE = partial(read_labels, binary=True)
"""Reads any label map; black and white masks become 0 and 1."""


def pair_up(
    images: Path,
    masks: Path,
    prefix: str = "",
    read: Callable[[Path], UInt8[np.ndarray, "H W"]] = BLACK_AND_WHITE,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    mask_suffixes: Sequence[str] = MASK_SUFFIXES,
) -> dict[str, Pair]:
    """Pair images and masks with equal stems in two folders, in natural order (2 before 10).

    Args:
        images: a folder of image files; other files are ignored.
        masks: a folder of masks.
        prefix: prefix of the keys, before the stem.
        read: reads a mask.
        suffixes: suffixes of images.
        mask_suffixes: suffixes of masks.

    Raises:
        DataError: no images, an image without its mask, a mask without its image, or two images with one stem.
    """
    left, right = by_stem(images, suffixes), by_stem(masks, mask_suffixes)
    if not left:
        there = next((f" There is {path.name}, for instance." for path in visible(images)), "")
        raise DataError(f"The folder {images} holds no images; expected {', '.join(suffixes)} files.{there}")
    for stem in sorted(left.keys() ^ right.keys(), key=natural):
        Pair(left.get(stem, images / f"{stem}.jpg"), right.get(stem, masks / f"{stem}.png")).check_both_exist()
    return {prefix + stem: Pair(left[stem], right[stem], read) for stem in sorted(left, key=natural)}


def _instead(path: Path, kind: str) -> str:
    """A did-you-mean sentence, if the folder of a missing mask has a file with a similar name."""
    there = image_files(path.parent, BRIGHT_SUFFIXES) if kind == "mask" and path.parent.is_dir() else []
    found = next((file.name for file in there if file.stem.lower().startswith(path.stem.lower())), None)
    if found is None:
        return ""
    return (
        f" There is {found}: a mask is a PNG with the name of its image (data=folder and data=davis read black "
        "and white ones of other formats with data.masks=black_white)."
    )


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key for natural order: digits compare as numbers.

    Example:
        >>> sorted(["10", "9", "a2", "a10"], key=natural)
        ['9', '10', 'a2', 'a10']
    """
    parts: list[str] = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(False, int(part), part) if part.isdecimal() else (True, 0, part) for part in parts]


def by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Files with certain suffixes in a folder, by stem.

    Raises:
        DataError: the folder is missing, or two files have the same stem.
    """
    if not folder.is_dir():
        raise DataError(f"The folder {folder} is missing; images and masks lie in folders of equal names.")
    found: dict[str, Path] = {}
    for path in image_files(folder, suffixes):
        stem = same_form(path.stem)  # one Unicode form, as systems write accents differently
        if stem in found:
            raise DataError(f"Both {found[stem].name} and {path.name} lie in {folder}; keep one of them.")
        found[stem] = path
    return found


def image_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Files in a folder whose names end in one of ``suffixes``, ignoring case, in natural order.

    Folders and files that are not `visible` are ignored.

    Raises:
        DataError: the folder cannot be read.
    """
    found = [path for path in visible(folder) if path.suffix.lower() in suffixes and not path.is_dir()]
    return sorted(found, key=lambda path: natural(path.name))


def visible(folder: Path) -> list[Path]:
    """The content of a folder without hidden and system files, in the order of names.

    Raises:
        DataError: the folder cannot be read.
    """
    with reading(folder):
        return sorted(path for path in folder.iterdir() if not is_hidden(path.name))


def is_hidden(name: str) -> bool:
    """Whether a name is that of a hidden or system file or folder.

    Example:
        >>> [name for name in ("._1.jpg", ".DS_Store", "__MACOSX", "@eaDir", "1.jpg") if not is_hidden(name)]
        ['1.jpg']
    """
    return name.startswith(".") or name in SYSTEM_NAMES
