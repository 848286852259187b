"""Small networks and pictures for sessions."""

from __future__ import annotations

import numpy as np
import pytest
from support.networks import network

from guided_seg.session import Session


@pytest.fixture(scope="session")
def pictures() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (*size, 3), np.uint8) for name, size in (("a", (37, 50)), ("b", (45, 61)))}


@pytest.fixture
def late(pictures: dict[str, np.ndarray]) -> Session:
    session = Session(network("late_global"))
    for name, picture in pictures.items():
        session.add_image(name, picture)
    return session
