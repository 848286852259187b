"""Your own images or videos: a folder of images and a folder of masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from guided_seg.data.files.masks import AUTO, count_masks, suffixes_of
from guided_seg.data.files.pairs import FileSource, Pair, image_files, natural, pair_up, visible
from guided_seg.data.files.verify import check_apart, check_labelled, check_named, open_root, read_list, read_names
from guided_seg.data.source import SPLITS, Split
from guided_seg.data.sources.classes import HeldOut, as_split, class_values, unknown
from guided_seg.data.sources.tables import MIN_PIXELS, Counts, Tables, object_list, open_table, video_table
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError
from guided_seg.files.text import as_stored, nearest, same_form, shown

LAYOUT = "images/ and masks/ with files of equal names, or with a folder of frames for each video"
FEWEST = 5
"""Without lists, every fifth item is test and the next one val, so fewer items cannot be split."""


class Folder(FileSource):
    """Your own data: ``images/NAME.jpg`` and ``masks/NAME.png``, or ``images/VIDEO/FRAME.jpg`` likewise.

    Images are JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC (with the package pillow-heif). Masks are PNG: indexed, grey or
    1-bit. The value 0 is background and 255 is void. If all grey masks have only the values 0 and 255, they are black
    and white, and 255 is the object.

    *Images.* Each mask value is a class (semantic), and each value in each mask is an object (interactive). For
    instance masks, give each object of an image its own value and train interactively. The optional classes.txt names
    the classes, line i for value i; otherwise the number is the name. *Videos.* Each value in a video's masks is an
    object: of video tasks, and of interactive tasks on every frame with the object.

    Splits are train.txt, val.txt and test.txt in the root, with one name per line (of an image without its suffix, or
    of a video). Without any of them, in natural order, every fifth item from the first is ``test``, the one after it is
    ``val`` and the rest is ``train``.

    Args:
        root: folder with images/ and masks/.
        split: train, val or test.
        held_out: classes excluded from train and val with all their images; the only tasks of test.
        whole: every split contains all items, to evaluate a trained model on everything. Not for training, as the model
            would be scored on its training data.
        min_pixels: smaller regions, and regions with fewer pixels around them, are not tasks.
        cache_mb: size of each process's LRU cache of decoded samples, in megabytes.
        balance: class-balanced sampling, see `IndexedSource`.
        oracle: train and val also contain the held-out classes, but never test images.
        masks: meaning of grey masks: auto, labels or black_white; see `count_masks`.
        without: images or videos to exclude from train and val, such as those that show a class held out by other data.

    Raises:
        DataError: a missing or empty folder, unpaired images or masks, an unknown split, class or listed name, too few
            items, a mask with only one label, or a file that cannot be used.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        held_out: HeldOut = (),
        whole: bool = False,
        min_pixels: int = MIN_PIXELS,
        cache_mb: float = 0.0,
        balance: float = 1.0,
        oracle: bool = False,
        masks: str = AUTO,
        without: Sequence[str] = (),
    ) -> None:
        split = as_split(split)
        root = open_root(root, LAYOUT, ("images", "masks"))
        folders = _folders(root)
        items = _videos(root, folders, suffixes_of(masks)) if folders else _images(root, suffixes_of(masks))
        if missing := [name for name in without if name not in items]:
            raise unknown("image or video (data.without)", missing[0], items)
        chosen = list(items) if whole else choose_items(root, list(items), split)
        chosen = [name for name in chosen if split == "test" or name not in without]
        pairs = {key: pair for name in chosen for key, pair in items[name].items()}
        keys_of = [list(items[name]) for name in chosen]
        others = (next(iter(found.values())).mask for name, found in items.items() if name not in set(chosen))
        pairs, counts = count_masks(pairs, keys_of, others, masks, "Checking the masks")
        frames = {name: [key for key in items[name] if key in counts] for name in chosen}
        for name, keys in frames.items():
            where = root / "masks" / name if folders else pairs[name].mask
            check_labelled((counts[key] for key in keys), where)
        if folders:
            tables = _video_tables(counts, frames, held_out, min_pixels)
        else:
            hidden = () if oracle and split != "test" else held_out
            tables = _image_tables(root, pairs, counts, split, hidden, min_pixels)
        super().__init__("folder", pairs, tables, cache_mb, balance)


def annotated_files(root: Path, option: str) -> tuple[dict[str, Pair], dict[int, str]]:
    """All images, or frames of videos, of a folder in this layout with their masks, and the name of each value.

    Raises:
        DataError: as `Folder`; ``option`` names the setting of ``root`` in messages.
    """
    root = open_root(root, LAYOUT, ("images", "masks"), option)
    folders = _folders(root)
    items = _videos(root, folders, suffixes_of(AUTO)) if folders else _images(root, suffixes_of(AUTO))
    pairs = {key: pair for found in items.values() for key, pair in found.items()}
    pairs, counts = count_masks(pairs, [list(found) for found in items.values()], (), AUTO, "Checking the masks")
    names = _class_names(root)
    for key, found in counts.items():
        check_named(found, names, pairs[key].mask)
    return pairs, names


def choose_items(root: Path, items: Sequence[str], split: Split) -> list[str]:
    """The items of a split: those on its list, or by position if ``root`` has no lists."""
    listed = listed_items(root, items, split, root / "images")
    if listed is not None:
        return listed
    if len(items) < FEWEST:
        raise DataError(
            f"{root / 'images'} holds {len(items)} items, but train, val and test need at least {FEWEST}; add more, "
            "write train.txt, val.txt and test.txt, or set data.whole=true to evaluate only."
        )
    parts = {"test": (0,), "val": (1,), "train": range(2, FEWEST)}
    return [item for i, item in enumerate(items) if i % FEWEST in parts[split]]


def listed_items(root: Path, items: Sequence[str], split: Split, folder: Path) -> list[str] | None:
    """The items on the list of a split; None if ``root`` has no list at all.

    Args:
        root: the folder of train.txt, val.txt and test.txt.
        items: all items.
        split: the split.
        folder: the folder of the items, for messages.

    Raises:
        DataError: the split's list is missing or empty, or has unknown names; or train shares a name with another list.
    """
    paths = {name: root / f"{name}.txt" for name in SPLITS}
    there = {name: read_list(path) for name, path in paths.items() if path.exists()}
    if not there:
        return None
    listed = read_list(paths[split])
    names = {same_form(item): item for item in items} | {item: item for item in items}
    stray = [name for name in listed if name not in names and same_form(name) not in names]
    if stray:
        near = nearest(stray[0], items)
        hint = f"write '{near}', as lists have names without suffix or folder" if near else "correct the list"
        raise DataError(
            f"The list {paths[split]} names {shown(stray[0])}, which is not in {folder} ({len(stray)} of its "
            f"{len(listed)} names are not); {hint}."
        )
    check_apart(*(map(same_form, found) for found in (there.get("train", ()), _tested(there))))
    return list(dict.fromkeys(names[name if name in names else same_form(name)] for name in listed))


def _tested(lists: Mapping[Split, Sequence[str]]) -> list[str]:
    return [*lists.get("val", ()), *lists.get("test", ())]


def _folders(root: Path) -> list[str]:
    """The names of the videos; empty if images/ contains image files."""
    folders = sorted((path for path in visible(root / "images") if path.is_dir()), key=lambda path: natural(path.name))
    if not image_files(root / "images"):
        return [path.name for path in folders]
    if any(image_files(folder) for folder in folders):
        raise DataError(
            f"The folder {root / 'images'} holds image files and folders; keep either images, or a folder of "
            "frames for each video."
        )
    return []


def _images(root: Path, suffixes: Sequence[str]) -> dict[str, dict[str, Pair]]:
    return {
        name: {name: pair} for name, pair in pair_up(root / "images", root / "masks", mask_suffixes=suffixes).items()
    }


def _videos(root: Path, folders: Sequence[str], suffixes: Sequence[str]) -> dict[str, dict[str, Pair]]:
    return {
        same_form(name): pair_up(
            root / "images" / name,
            as_stored(root / "masks" / name),
            f"{same_form(name)}/",
            mask_suffixes=suffixes,
        )
        for name in folders
    }


def _video_tables(
    counts: Mapping[str, Counts], frames: Mapping[str, Sequence[str]], held_out: HeldOut, min_pixels: int
) -> Tables:
    if isinstance(held_out, (int, str)) or list(held_out):
        raise DataError("Videos have objects, not classes, so held_out must be empty; split them by train.txt etc.")
    videos = video_table(counts, frames, min_pixels)
    return Tables(object_list(videos), videos=videos)


def _image_tables(
    root: Path,
    pairs: Mapping[str, Pair],
    counts: Mapping[str, Counts],
    split: Split,
    held_out: HeldOut,
    min_pixels: int,
) -> Tables:
    names = _class_names(root)
    for key, found in counts.items():
        check_named(found, names, pairs[key].mask)
    held = class_values(held_out, names)
    present = {value for found in counts.values() for value in found if value}
    table = open_table(split, counts, {value: names[value] for value in sorted(present)}, held, min_pixels)
    return Tables(object_list(table), table)


def _class_names(root: Path) -> dict[int, str]:
    path = root / "classes.txt"
    return dict(enumerate(read_names(path) if path.exists() else map(str, range(1, IGNORE)), 1))
