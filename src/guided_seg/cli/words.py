"""Command lines of words and settings: what is a path, and what is for Hydra."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from guided_seg.files.text import is_there

WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
"""Options of Hydra that are followed by a word."""


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The paths in a command line, and the rest. A word with ``=`` is a path only if a file has that name.

    Example:
        >>> split(["photos/", "port=9000", "--cfg", "job"])
        (['photos/'], ['port=9000', '--cfg', 'job'])
    """
    paths: list[str] = []
    rest: list[str] = []
    for before, word in pairwise(["", *words]):
        setting = word.startswith("-") or before in WITH_VALUE or ("=" in word and not is_there(Path(word)))
        (rest if setting else paths).append(word)
    return paths, rest
