"""The formats by name, found in the folder `guided_seg.formats.kinds`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from guided_seg.data.sources.classes import unknown
from guided_seg.formats import kinds
from guided_seg.formats.segmented import Format


def _found() -> dict[str, Format]:
    modules = (import_module(f"{kinds.__name__}.{module.name}") for module in iter_modules(kinds.__path__))
    return {module.FORMAT.name: module.FORMAT for module in modules}


FORMATS: dict[str, Format] = _found()
"""Name -> format, in the order of the names of their modules."""


def kind_of(name: str) -> Format:
    """The format of a name. Raises `UserError` if there is none."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    return FORMATS[name]
