"""FSS-1000: a thousand classes of ten images each, with one object per image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from guided_seg.data.files.pairs import FileSource, pair_up, visible
from guided_seg.data.files.verify import count_labels, open_root, survey
from guided_seg.data.images import read_bright
from guided_seg.data.source import Split, Target
from guided_seg.data.sources.classes import as_split, hashed
from guided_seg.data.sources.folder import listed_items
from guided_seg.data.sources.splits import read_split
from guided_seg.data.sources.tables import MIN_PIXELS, Tables, is_task, object_list
from guided_seg.errors import DataError

LAYOUT = "a folder of each class, with N.jpg and the black and white mask N.png"
VAL = 6 / 19
"""Share of val among the classes that are not in test: about 240 of 760."""


class Fss1000(FileSource):
    """FSS-1000 in its own layout, ``CLASS/N.jpg`` and ``CLASS/N.png`` (Li et al., 2020).

    The splits share no class, so every test class is new to the model. ``test`` is the 240 official test classes, a
    shipped list. The other 760 have no official lists: a hash of the name assigns about 240 of them to ``val`` and the
    rest to ``train``. Lists train.txt, val.txt and test.txt in the root, with one class per line, have precedence.

    Semantic tasks are classes; interactive tasks are the object of each image. Objects have value 1 in every label map,
    so tasks have one positive label.

    Args:
        root: folder with a folder per class (usually named fewshot_data).
        split: train, val or test.
        min_pixels: smaller objects, and objects with fewer pixels around them, are not tasks.
        cache_mb: size of each process's LRU cache of decoded samples, in megabytes.
        balance: class-balanced sampling, see `IndexedSource`.
        oracle: refused: all images of the test classes are tested, so none are left for training.

    Raises:
        DataError: a missing or empty folder, unpaired images or masks, an unknown split, lists that share a class, or a
            file that cannot be used.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        min_pixels: int = MIN_PIXELS,
        cache_mb: float = 0.0,
        balance: float = 1.0,
        oracle: bool = False,
    ) -> None:
        split = as_split(split)
        if oracle:
            raise DataError(
                "FSS-1000 tests on all images of its test classes, so none are left to train an oracle; leave "
                "data.oracle at false, or choose other data."
            )
        root = open_root(root, LAYOUT, ())
        groups = {
            name: pair_up(root / name, root / name, f"{name}/", read_bright, (".jpg", ".jpeg"))
            for name in _classes(root, split)
        }
        pairs = {key: pair for found in groups.values() for key, pair in found.items()}
        counts = survey(pairs, lambda key: count_labels(pairs[key]), "Checking the masks")
        table = {
            name: [Target(key, 1) for key in found if key in counts and is_task(counts[key], 1, min_pixels)]
            for name, found in groups.items()
        }
        super().__init__("fss1000", pairs, Tables(object_list(table), table), cache_mb, balance)


def _classes(root: Path, split: Split) -> Sequence[str]:
    there = [path.name for path in visible(root) if path.is_dir()]
    if not there:
        raise DataError(f"The data root {root} has no folders; expected {LAYOUT}.")
    listed = listed_items(root, there, split, root)
    if listed is not None:
        return listed
    test = set(read_split("fss1000_test"))
    return [name for name in there if split == ("test" if name in test else "val" if hashed(name) < VAL else "train")]
