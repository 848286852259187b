"""One checkpoint for all protocols."""

from __future__ import annotations

from pathlib import Path

import pytest
from protocols.tiny import FINDS, write_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("network") / "finds.ckpt", *FINDS)
