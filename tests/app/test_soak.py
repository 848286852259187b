"""A few seconds of what `python tests/app/soak.py` does for minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import soak


@pytest.mark.slow
def test_pages_do_not_mix_and_a_killed_server_loses_little(capsys: pytest.CaptureFixture[str]) -> None:
    soak.main(seconds=3, number=2)
    assert "no mixing" in capsys.readouterr().out
