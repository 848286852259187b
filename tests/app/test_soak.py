"""A few seconds of what `python tests/app/soak.py` does for minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import soak
from support.browser import need_chromium


@pytest.mark.slow
def test_pages_do_not_mix_and_a_killed_server_loses_little(capsys: pytest.CaptureFixture[str]) -> None:
    soak.main(seconds=3, number=2)
    assert "no mixing" in capsys.readouterr().out


@pytest.mark.slow
def test_tabs_of_a_browser_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    need_chromium()
    soak.main_with_browser(seconds=5)
    assert "no mixing" in capsys.readouterr().out
