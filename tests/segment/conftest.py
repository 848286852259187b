"""Small photos, and what shows on them what to segment."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.archives import write_image

from guided_seg.session import Session

CHECKPOINT = next((Path(__file__).parents[1] / "old").glob("*.ckpt"))
"""A small network, which takes a tenth of the time of the one that ships."""

HEIGHT, WIDTH = 37, 50


def photo(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A bright disc on noise, somewhere else in each."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 120, (height, width, 3), np.uint8)
    center = int(rng.integers(8, width - 8)), int(rng.integers(8, height - 8))
    return cv2.circle(pixels, center, 7, (230, 200, 60), -1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of five photos."""
    folder = tmp_path / "photos"
    for number in range(5):
        write_image(folder / f"photo {number}.jpg", picture=photo(number))
    return folder


@pytest.fixture
def dots(photos: Path) -> Path:
    """A file of dots on an image that is not among the photos."""
    write_image(photos.parent / "shown.png", picture=photo(9))
    content = {"images": {"shown.png": [[18, 20, "disc"], [2, 2, "negative"]]}}
    path = photos.parent / "dots.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def saved(dots: Path) -> Path:
    """The same dots as a saved session."""
    session = Session.load(CHECKPOINT)
    session.add_image("shown", dots.with_name("shown.png"))
    session.add_label("disc")
    session.dot("shown", 18, 20, "disc")
    session.dot("shown", 2, 2, "negative")
    return session.save(dots.with_name("today.session"))
