"""The page's pure functions, tested by Node."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.processes import ended

WEB = Path(__file__).parent / "web"


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js to run the page's modules")
def test_the_modules_of_the_page() -> None:
    files = sorted(WEB.glob("*.test.mjs"))
    assert files
    done = ended(str(shutil.which("node")), "--test", *map(str, files), limit=120)
    assert done.returncode == 0, done.stdout + done.stderr
