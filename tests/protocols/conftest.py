"""One checkpoint for all protocols, and all protocols on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.evaluations import FINDS, NAMES, score, write_checkpoint

from guided_seg.protocols.scores import Scored


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("network") / "finds.ckpt", *FINDS)


@pytest.fixture
def few_draws() -> Iterator[None]:
    """A bootstrap takes part of a second; it is tested by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guided_seg.protocols.statistics.DRAWS", 30)
        yield


@pytest.fixture(scope="session")
def scored(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Scored], Path]:
    """All protocols, in one call, with few draws."""
    out = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guided_seg.protocols.statistics.DRAWS", 30)
        return score(checkpoint, out, NAMES), out
