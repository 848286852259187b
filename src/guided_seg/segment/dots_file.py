"""Files of dots: image files, and what is where in them, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from guided_seg.errors import UserError
from guided_seg.files.text import nearest, read_json, shown
from guided_seg.session import NEGATIVE

EXAMPLE = '{"images": {"cat.jpg": [[120, 88, "cat"], [10, 10, "negative"]]}}'
_EXPECTED = f"expected {EXAMPLE}, each dot as row, column and label"
_KEYS = ("images", "labels")

Dot = tuple[int, int, str]


class Dots(NamedTuple):
    """The content of a file of dots.

    Attributes:
        labels: their names without the negative, in the order of their numbers.
        images: image file -> its dots as (row, column, label).
    """

    labels: list[str]
    images: dict[Path, list[Dot]]


def read_dots(path: Path) -> Dots:
    """Read a file of dots. Paths of images are relative to its folder.

    Without ``labels``, labels are numbered as they first occur.

    Raises:
        UserError: the file cannot be read, is of another format, or holds no dots.
    """
    content = read_json(path, "a file of dots")
    if not isinstance(content, dict) or not isinstance(content.get("images"), dict):
        raise _wrong(path, _seems(content))
    if odd := next((key for key in content if key not in _KEYS), None):
        near = nearest(odd, _KEYS)
        raise _wrong(path, f"it has the key {shown(odd)}{f'; did you mean {near}?' if near else ''}")
    listed = _labels(path, content["labels"]) if "labels" in content else None
    images = {
        path.absolute().parent / Path(name).expanduser(): _dots(path, name, dots, listed)
        for name, dots in content["images"].items()
    }
    found = dict.fromkeys(dot[2] for dots in images.values() for dot in dots if dot[2] != NEGATIVE)
    if not any(images.values()):
        raise UserError(f"{path} holds no dots; {_EXPECTED}.")
    if not found:
        raise UserError(f"{path} has dots of {NEGATIVE} alone, which is what surrounds objects; add dots on an object.")
    return Dots(list(found) if listed is None else listed, images)


def _labels(path: Path, labels: Any) -> list[str]:
    if not isinstance(labels, list) or not all(isinstance(each, str) and each for each in labels):
        raise _wrong(path, f"its labels are {labels!r:.60}, not a list of names")
    names: list[str] = [each for each in labels if each != NEGATIVE]
    if len(set(names)) < len(names):
        raise _wrong(path, "its list of labels has a name twice")
    return names


def _dots(path: Path, name: str, dots: Any, listed: list[str] | None) -> list[Dot]:
    if not isinstance(dots, list):
        raise _wrong(path, f"the dots of {name} are {dots!r:.60}, not a list")
    return [_dot(path, name, dot, listed) for dot in dots]


def _dot(path: Path, name: str, dot: Any, listed: list[str] | None) -> Dot:
    if not isinstance(dot, list) or len(dot) != 3 or not all(type(each) is int for each in dot[:2]):
        raise _wrong(path, f"a dot of {name} is {dot!r:.60}")
    row, column, label = dot
    if not isinstance(label, str) or not label:
        raise _wrong(path, f"the label of a dot of {name} is {label!r:.60}, not a name")
    if listed is not None and label not in (*listed, NEGATIVE):
        near = nearest(label, [*listed, NEGATIVE])
        raise UserError(
            f"A dot of {name} in {path} has the label {shown(label)}, which is not in its list of labels"
            f"{f'; did you mean {near}?' if near else '; add it there.'}"
        )
    return row, column, label


def _seems(content: Any) -> str:
    """What a JSON of another format seems to be."""
    first = content[0] if isinstance(content, list) and content else content
    keys: Mapping[str, Any] = first if isinstance(first, dict) else {}
    if isinstance(content, dict) and "annotations" in keys:
        return "it seems to be COCO's; write its objects as masks, and give their folder as support="
    if "shapes" in keys:
        return "it seems to be labelme's; write its shapes as masks (labelme_export_to_voc), and give their folder"
    if isinstance(content, list) and ("annotations" in keys or "data" in keys):
        return "it seems to be Label Studio's; export masks as PNG there, and give their folder"
    if "images" in keys:
        return f"its images are {keys['images']!r:.60}"
    return "it has no images"


def _wrong(path: Path, why: str) -> UserError:
    return UserError(f"{path} is not a file of dots: {why}; {_EXPECTED}.")
