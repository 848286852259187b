"""A job that is killed again and again gives what one gives that is not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from segment.conftest import CHECKPOINT, photo
from support.archives import everything, write_image
from support.commands import call
from support.processes import python


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "kills", "number", "seed"), [("coco", 10, 300, 0), ("yolo", 3, 60, 8), ("masks", 3, 60, 4)]
)
def test_killed_again_and_again_at_random(
    kind: str, kills: int, number: int, seed: int, saved: Path, tmp_path: Path
) -> None:
    for each in range(number):
        write_image(tmp_path / "many" / f"{each}.jpg", picture=photo(each, 24, 32))
    words = ["many", f"support={saved}", f"format={kind}", f"checkpoint={CHECKPOINT}"]
    script = Path(__file__).with_name("killed.py")
    killed = python(
        *(script, str(kills), str(seed), *words, "output_dir=out"),
        limit=300,
        folder=tmp_path,
        PYTHONPATH=str(script.parents[1]),
    )
    assert int(killed) == kills
    whole = call("segment.__main__", *words, "output_dir=whole", folder=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")
    often = Counter((tmp_path / "kept.txt").read_text().split())
    assert set(often.values()) == {1}
    assert number - kills <= len(often) <= number
