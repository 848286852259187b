"""A job that is killed again and again gives what one gives that is not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from segment.conftest import CHECKPOINT, photo
from support.archives import everything, write_image
from support.commands import call
from support.processes import python

KILLS, PHOTOS = 10, 300


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coco"])
def test_killed_ten_times_at_random(kind: str, saved: Path, tmp_path: Path) -> None:
    for number in range(PHOTOS):
        write_image(tmp_path / "many" / f"{number}.jpg", picture=photo(number, 24, 32))
    words = ["many", f"support={saved}", f"format={kind}", f"checkpoint={CHECKPOINT}"]
    script = Path(__file__).with_name("killed.py")
    killed = python(
        script, str(KILLS), "0", *words, "output_dir=out", limit=300, folder=tmp_path, PYTHONPATH=str(script.parents[1])
    )
    assert int(killed) == KILLS
    whole = call("segment.__main__", *words, "output_dir=whole", folder=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")
    often = Counter((tmp_path / "kept.txt").read_text().split())
    assert set(often.values()) == {1}
    assert PHOTOS - KILLS <= len(often) <= PHOTOS
