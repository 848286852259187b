"""Parts of other programs that are slow to import as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import guided_seg
from guided_seg.model.network import Network
from guided_seg.predict.encoder import folded


@pytest.fixture(scope="module")
def lite() -> Iterator[Network]:
    """The network that ships, folded once for all sessions. Refined answers of a random one are empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guided_seg.predict.encoder.folded", cache(folded))
        yield guided_seg.load("guided-lite0")


@pytest.fixture(scope="session")
def converter() -> ModuleType:
    """The brush of label-studio-converter, without the rest of it, which takes seconds to import."""
    package = find_spec("label_studio_converter")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("label-studio-converter is not installed; the golden masks are compared all the same")
    spec = spec_from_file_location("brush", Path(package.submodule_search_locations[0]) / "brush.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
