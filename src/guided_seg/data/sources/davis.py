"""DAVIS: videos with a mask for every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from guided_seg.data.files.masks import AUTO, count_masks, suffixes_of
from guided_seg.data.files.pairs import MASK_SUFFIXES, FileSource, Pair, image_files, natural, pair_up, visible
from guided_seg.data.files.verify import check_apart, check_labelled, open_root, read_list
from guided_seg.data.source import Split
from guided_seg.data.sources.classes import as_split, unknown
from guided_seg.data.sources.splits import read_split
from guided_seg.data.sources.tables import Counts, Tables, object_list, video_table
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError
from guided_seg.files.text import as_stored

LAYOUT = "JPEGImages/480p/SEQUENCE/, Annotations/480p/SEQUENCE/ and ImageSets/YEAR/train.txt and val.txt"
MIN_PIXELS = 20
"""Objects are small at 240p, and no object of the protocol may be lost; fewer pixels show nothing."""
VAL_SHARE = 5
YEARS = ("2016", "2017")


class Davis(FileSource):
    """DAVIS in its own layout, at any resolution, with 1-bit, black and white, or indexed masks.

    ``test`` is val.txt. ``val`` is the last fifth of the sequences in train.txt (at least one) and ``train`` the rest,
    so that model selection does not use the test. The lists are those of the root. A root without ImageSets/ must
    contain all of DAVIS, and uses the shipped lists.

    Each mask value in a sequence is an object and a group, as in DAVIS 2017; a task may have several objects of a
    sequence. DAVIS 2016 has one object per sequence. The masks of 2017 separate, for example, a rider from the bicycle;
    ``single`` merges all that is neither background nor void. Video tasks are from the first frame with the object to
    the end of the sequence. Interactive tasks are all frames with the object, in ``test`` only the first. There are no
    classes.

    Args:
        root: folder with JPEGImages/, Annotations/ and ImageSets/.
        split: train, val or test.
        resolution: subfolder of JPEGImages/ such as 240p, 480p, 1080p or Full-Resolution; auto: the lowest.
        year: 2016 or 2017, subfolder of ImageSets/; selects only the lists. Lists of the first release (ImageSets/480p,
            lines of two paths) are also supported.
        min_pixels: an object with fewer pixels counts as not visible in a frame.
        cache_mb: size of each process's LRU cache of decoded samples, in megabytes.
        single: merge all objects of a sequence into one.
        without: sequences to exclude from train and val, such as those of a class that other data holds out.
        masks: meaning of grey masks: auto, labels or black_white; see `count_masks`.
        oracle: no effect, as there are no classes to hold out and splits share no sequences.

    Raises:
        DataError: a missing folder, an empty list, an unknown split or resolution, or an unusable file.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        resolution: str = "auto",
        year: str | int = "2016",
        min_pixels: int = MIN_PIXELS,
        cache_mb: float = 0.0,
        oracle: bool = False,
        single: bool = False,
        without: Sequence[str] = (),
        masks: str = AUTO,
    ) -> None:
        split = as_split(split)
        root = open_root(root, LAYOUT, ("JPEGImages", "Annotations"))
        resolution = _resolution(root / "JPEGImages", resolution)
        sequences = _sequences(root, str(year), resolution, split, without)
        files = {name: _pairs(root, resolution, name, suffixes_of(masks)) for name in sequences}
        pairs = {key: pair for found in files.values() for key, pair in found.items()}
        others = _first_masks(root / "Annotations" / resolution, sequences)
        pairs, counts = count_masks(
            pairs, [list(found) for found in files.values()], others, masks, "Checking the frames"
        )
        if single:
            pairs = {key: replace(pair, read=partial(read_single, pair.read)) for key, pair in pairs.items()}
            counts = {key: _as_single(found) for key, found in counts.items()}
        frames = {name: [key for key in found if key in counts] for name, found in files.items()}
        for name, keys in frames.items():
            check_labelled((counts[key] for key in keys), root / "Annotations" / resolution / name)
        videos = video_table(counts, frames, min_pixels)
        objects = object_list(videos, first_only=split == "test")
        super().__init__("davis", pairs, Tables(objects, videos=videos), cache_mb)


def _resolution(images: Path, wanted: str) -> str:
    found = sorted((path.name for path in visible(images) if path.is_dir()), key=_height)
    if not found:
        raise DataError(f"The folder {images} is empty; expected a folder for each resolution, such as 480p.")
    if wanted == "auto":
        return found[0]
    if wanted not in found:
        raise unknown(f"resolution in {images}", wanted, found)
    return wanted


def _height(resolution: str) -> tuple[bool, list[tuple[bool, int, str]]]:
    # Full-Resolution sorts after every number
    return not resolution[:1].isdigit(), natural(resolution)


def _sequences(root: Path, year: str, resolution: str, split: Split, without: Sequence[str]) -> list[str]:
    lists = root / "ImageSets"
    if not lists.is_dir():
        return _part(_shipped(root, year, resolution, split), f"{year}'s train", split, without)
    folder = next((lists / name for name in (year, resolution) if (lists / name).is_dir()), None)
    if folder is None:
        raise unknown(f"year in {lists}", year, [path.name for path in visible(lists)])
    train, val = folder / "train.txt", folder / "val.txt"
    found = _names(val if split == "test" else train)
    if split != "test" and val.is_file():
        check_apart(found, _names(val))
    return _part(found, str(train), split, without)


def _part(names: list[str], listed: str, split: Split, without: Sequence[str]) -> list[str]:
    """The sequences of a split, from the names on its list."""
    if split == "test":
        return names
    if len(names) < 2:
        raise DataError(f"The list {listed} has one sequence, but train and val need at least two; add one.")
    if missing := [name for name in without if name not in names]:
        raise unknown("sequence of train (data.without)", missing[0], names)
    cut = len(names) - max(1, len(names) // VAL_SHARE)
    return [name for name in (names[:cut] if split == "train" else names[cut:]) if name not in without]


def _shipped(root: Path, year: str, resolution: str, split: Split) -> list[str]:
    """The official list, for a root that contains all its sequences."""
    if year not in YEARS:
        raise unknown("year of DAVIS", year, YEARS)
    names = read_split(f"davis{year}_{'val' if split == 'test' else 'train'}")
    missing = [name for name in names if not (root / "JPEGImages" / resolution / name).is_dir()]
    if missing:
        raise DataError(
            f"The data root {root} has no folder ImageSets, so all of DAVIS {year} was expected, but {len(missing)} of "
            f"{len(names)} sequences are missing, such as {missing[0]}; add them, or list those that are there in "
            f"ImageSets/{year}/train.txt and val.txt."
        )
    return names


def _names(path: Path) -> list[str]:
    return list(dict.fromkeys(_sequence(line) for line in read_list(path)))


def _sequence(line: str) -> str:
    """The sequence in a line of a list: its name, or the paths of a frame and its mask."""
    first = Path(line.split(maxsplit=1)[0])
    return first.parent.name if first.suffix else first.name


def _pairs(root: Path, resolution: str, sequence: str, suffixes: Sequence[str]) -> dict[str, Pair]:
    images, masks = (as_stored(root / kind / resolution / sequence) for kind in ("JPEGImages", "Annotations"))
    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(
                f"The sequence {sequence} is listed, but the folder {folder} is missing; add it, take the "
                "sequence off the list, or choose another data.resolution."
            )
    return pair_up(images, masks, f"{sequence}/", mask_suffixes=suffixes)


def _first_masks(annotations: Path, sequences: Sequence[str]) -> Iterator[Path]:
    """Yield one mask of each sequence that is not in ``sequences``."""
    for folder in visible(annotations):
        if folder.name not in sequences and folder.is_dir():
            yield from image_files(folder, MASK_SUFFIXES)[:1]


def _as_single(counts: Counts) -> Counts:
    return {
        value: pixels
        for value, pixels in ((0, counts.get(0, 0)), (1, sum(counts.values()) - counts.get(0, 0)))
        if pixels
    }


def read_single(read: Callable[[Path], UInt8[np.ndarray, "H W"]], path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read a mask with all objects merged into 1. Raises `BrokenFile` as ``read`` does."""
    labels = read(path)
    return np.where(labels == IGNORE, labels, np.minimum(labels, 1)).astype(np.uint8)
