"""Sessions: every image is encoded once, and what they answer is what the network answers to the whole episode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

import guided_seg.run  # noqa: F401  its resolvers are part of the configuration
from guided_seg.build import build_network
from guided_seg.episode import Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.model.network import Network
from guided_seg.model.one_vs_rest import k_way
from guided_seg.session import NEGATIVE, Session

COMPOSITIONS = {
    "late_global": ["+experiment=late_global"],
    "skips": ["+experiment=late_global", "decoder=skips"],
    "attention": ["+experiment=late_global", "merge=attention"],
    "parameter_regression": ["+experiment=late_global", "conditioning=parameter_regression"],
    "prototypes": ["+experiment=prototypes"],
    "nearest_neighbors": ["+experiment=nearest_neighbors"],
    "early_mask_regression": ["+experiment=early_mask_regression"],
    "late_local": ["+experiment=late_local"],
    "early_stack": ["+experiment=early_stack"],
    "fine_tune": ["+experiment=fine_tune", "baseline.steps=2"],
    "foreground_background": ["+experiment=foreground_background"],
}
READING = {"fine_tune": "one_vs_rest", "foreground_background": "one_vs_rest"}  # they know two labels
OWN_IMAGE_ALONE = ("late_local", "early_stack")

DOTS = [("a", 3, 5, "cup"), ("a", 30, 41, NEGATIVE), ("b", 12, 9, "cup"), ("b", 20, 33, "plate"), ("b", 0, 0, NEGATIVE)]


def network(*overrides: str) -> Network:
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        torch.manual_seed(0)
        return build_network(compose("config", list(overrides))).eval()


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (*size, 3), np.uint8) for name, size in (("a", (37, 50)), ("b", (45, 61)))}


@pytest.fixture
def late(pictures: dict[str, np.ndarray]) -> Session:
    session = Session(network("+experiment=late_global"))
    for name, picture in pictures.items():
        session.add_image(name, picture)
    return session


def whole(
    model: Network, pictures: dict[str, np.ndarray], query: str, dots: list[tuple[str, int, int, str]]
) -> np.ndarray:
    """The same question as one episode, with nothing kept from before."""
    labels = [NEGATIVE, "cup", "plate"]
    images = {name: torch.from_numpy(picture).permute(2, 0, 1) / 255 for name, picture in pictures.items()}
    support = []
    for name, image in images.items():
        points = torch.tensor([[row, column, labels.index(what)] for where, row, column, what in dots if where == name])
        if len(points) and (name == query or not model.needs_same_image):
            support.append(Shot(image, points=points, is_query=name == query))
    target = torch.zeros(images[query].shape[1:], dtype=torch.uint8)
    with torch.inference_mode():
        scores = model(collate([Episode(images[query], target, support, num_labels=3)]))
    # a larger image of the support pads the batch
    return scores[0, :, : target.shape[0], : target.shape[1]].argmax(0).numpy()


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_an_answer_is_that_of_the_whole_episode(name: str, pictures: dict[str, np.ndarray]) -> None:
    model = k_way(READING.get(name, "native"), network(*COMPOSITIONS[name]))
    assert model.needs_same_image == (name in OWN_IMAGE_ALONE)
    session = Session(model)
    for image, picture in pictures.items():
        session.add_image(image, picture)
    session.add_label("cup")
    session.add_label("plate")
    for count, dot in enumerate(DOTS, 1):
        session.dot(*dot)
        for query in pictures:
            assert (session.segment(query) == whole(model, pictures, query, DOTS[:count])).all()


def test_every_image_is_encoded_once(late: Session) -> None:
    late.add_label("cup")
    for row in range(3):
        late.dot("a", row, 0, "cup")
        assert [late.segment(name).shape for name in "ab"] == [(37, 50), (45, 61)]
        assert late.encodes == {"a": 1, "b": 1}


def test_dots_are_replaced_and_removed(late: Session) -> None:
    late.add_label("cup")
    late.dot("a", 3, 4, "cup")
    late.dot("a", 20, 30, NEGATIVE)
    before = late.segment("a")
    late.dot("a", 9, 9, "cup")
    late.dot("a", 3, 4, NEGATIVE)
    late.remove("a", 9, 9)
    late.dot("a", 3, 4, "cup")
    assert (late.segment("a") == before).all()


def test_nothing_has_to_be_shown_yet(late: Session) -> None:
    late.add_label("cup")
    assert set(np.unique(late.segment("a"))) <= {0, 1}
    assert late.segment("a").dtype == np.uint8


def test_an_image_may_be_a_file(tmp_path: Path, late: Session, pictures: dict[str, np.ndarray]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), pictures["a"][..., ::-1])
    late.add_image("file", tmp_path / "a.png")
    late.add_label("cup")
    late.dot("a", 3, 4, "cup")
    assert (late.segment("file") == late.segment("a")).all()


def test_a_network_of_two_labels_says_what_to_do_with_three(pictures: dict[str, np.ndarray]) -> None:
    session = Session(network("+experiment=fine_tune"))
    session.add_image("a", pictures["a"])
    session.add_label("cup")
    session.add_label("plate")
    session.dot("a", 1, 1, "plate")
    with pytest.raises(ValueError, match="built for 2 labels and got 3; use k_way=one_vs_rest"):
        session.segment("a")


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda s: s.segment("a"), "nothing to segment yet; add_label"),
        (lambda s: s.segment("c"), "no image 'c'; there are: a, b"),
        (lambda s: s.dot("a", 1, 1, "cup"), "no label 'cup'; labels are negative; add_label"),
        (lambda s: s.dot("a", 37, 0, NEGATIVE), "row 37, column 0 lies outside its 37 x 50 image"),
        (lambda s: s.remove("c", 0, 0), "no image 'c'"),
        (lambda s: s.add_label(NEGATIVE), "a label 'negative' already"),
        (lambda s: s.add_image("a", np.zeros((4, 4, 3), np.uint8)), "an image or video 'a' already"),
        (lambda s: s.add_image("c", np.zeros((4, 4), np.uint8)), r"uint8 \(4, 4\); expected uint8 \(H, W, 3\)"),
        (lambda s: s.add_image("c", np.zeros((4, 4, 3))), "float64"),
        (lambda s: s.add_image("c", "nowhere.jpg"), "nowhere.jpg"),
    ],
)
def test_what_makes_no_sense_is_refused(late: Session, act: Callable[[Session], object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        act(late)
