"""The script that the README shows, on images and a video of one's own."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.evaluations import CONF, FINDS, write_checkpoint

from guided_seg.data.images import read_labels

SCRIPT = CONF.parent / "examples" / "segment.py"


def test_it_segments_a_folder_and_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "frames"):
        (tmp_path / folder).mkdir()
    for path in ("images/a.jpg", "images/b.jpg", "frames/0.png", "frames/1.png"):
        cv2.imwrite(str(tmp_path / path), rng.integers(0, 256, (40, 50, 3), np.uint8))
    checkpoint = write_checkpoint(tmp_path / "best.ckpt", *FINDS)
    words = [checkpoint, tmp_path / "images", tmp_path / "frames", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    written = {path.name: read_labels(path) for path in (tmp_path / "out").iterdir()}
    assert set(written) == {"a.png", "b.png", "0.png", "1.png"}
    assert {labels.shape for labels in written.values()} == {(40, 50)}
    assert set(np.unique(written["a.png"])) == {0, 255}


def test_it_is_short() -> None:
    code = ast.parse(SCRIPT.read_text())
    statements = [node for node in ast.walk(code) if isinstance(node, ast.stmt)][1:]  # all but the docstring
    assert len(statements) <= 15
