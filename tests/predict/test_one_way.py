"""One way to answer: every path to an answer gives the same scores, and every path through a video the same masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.boxes import Boxes
from support.evaluations import FINDS, network_of
from support.networks import COMPOSITIONS, FULL, OWN_IMAGE_ALONE, TWO_LABELS, ask, network, same_labels
from torchvision.utils import save_image

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, freeze
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.episode import Episode, collate
from guided_seg.errors import UserError
from guided_seg.export.check import Call, Example, by_parts, exportable
from guided_seg.export.parts import Part, parts_of
from guided_seg.model.network import GuidedNetwork, Network
from guided_seg.model.video.previous_frame import Memory
from guided_seg.model.wrappers.one_vs_rest import k_way
from guided_seg.predict.predictor import predictor_for
from guided_seg.predict.support import Annotated, Image
from guided_seg.protocols.answers import Answers
from guided_seg.session import NEGATIVE, Session

DOTS = {"a": [(3, 4, 0), (20, 30, 1), (30, 40, 2)], "b": [(10, 11, 1), (5, 50, 0)]}
NOT_EXPORTED = (*OWN_IMAGE_ALONE, *FULL, "foreground_background", "fused", "honoured", "finer_support")
MEMORIES: tuple[Memory, ...] = ("none", "map", "moved", "shot", "both")


def pictures() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"a": rng.integers(0, 256, (37, 50, 3), np.uint8), "b": rng.integers(0, 256, (45, 61, 3), np.uint8)}


def dots_for(name: str) -> dict[str, list[tuple[int, int, int]]]:
    """Of as many labels as the network knows."""
    most = 2 if name in TWO_LABELS else 3
    return {image: [dot for dot in dots if dot[2] < most] for image, dots in DOTS.items()}


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1) / 255


@pytest.mark.parametrize("query", ["a", "b"])
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_predictor_session_and_forward_give_the_same_scores(name: str, query: str) -> None:
    model, shown, images = network(name), dots_for(name), pictures()
    labels = 1 + max(label for dots in shown.values() for *_, label in dots)
    expected = ask(model, images, query, shown, labels)

    def encode(pixels: torch.Tensor) -> list[object]:
        return [model.encode(pixels, torch.tensor([pixels.shape[-2:]]))]

    predictor = predictor_for(model, encode, 100)  # type: ignore[arg-type]
    made = {key: Image(key, picture.shape[:2], lambda p=picture: tensor(p)) for key, picture in images.items()}  # type: ignore[misc]
    support = [
        Annotated(made[key], frozenset(label for *_, label in dots), lambda d=dots: (torch.tensor(d), None))  # type: ignore[misc]
        for key, dots in shown.items()
    ]
    with torch.inference_mode():
        found = torch.stack(predictor.maps(made[query], support, labels))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

    session = Session(model, precision="fp32")
    names = [NEGATIVE, *(session.add_label(f"{label}") for label in range(1, labels))]
    for key, picture in images.items():
        session.add_image(key, picture)
        for row, column, label in shown[key]:
            session.dot(key, row, column, names[label])
    scores = torch.from_numpy(session.segment(query, return_scores=True)[1])
    torch.testing.assert_close(scores, expected, atol=1e-3, rtol=1e-3)  # the session folds batch normalisation


@pytest.mark.parametrize("reading", ["native", "one_vs_rest"])
@pytest.mark.parametrize(
    "name", ["late_global", "attention", "prototypes", "fused", "late_local", "early_mask_regression"]
)
def test_a_label_of_which_nothing_is_shown_takes_no_pixel(name: str, reading: str) -> None:
    model, shown, images = k_way(reading, network(name)), {"a": [(3, 4, 0), (20, 30, 2)]}, pictures()
    session = Session(model, precision="fp32")
    session.add_image("a", images["a"])
    for label in ("empty", "cup", "later"):
        session.add_label(label)
    for row, column, label in shown["a"][:1]:
        session.dot("a", row, column, label)
    assert np.isfinite(session.segment("a", return_scores=True)[1]).all(), "no label is told from the others"
    for row, column, label in shown["a"][1:]:
        session.dot("a", row, column, label)
    labels, scores = session.segment("a", return_scores=True)
    assert np.isneginf(scores).all((1, 2)).tolist() == [False, True, False, True]
    assert np.isfinite(scores[[0, 2]]).all()
    assert set(np.unique(labels)) <= {0, 2}
    torch.testing.assert_close(torch.from_numpy(scores), ask(model, images, "a", shown, 4), atol=1e-3, rtol=1e-3)
    assert 0 < session.confidence("a") <= 1
    assert set(np.unique(session.refined("a"))) <= {0, 2}


def eager(part: Part) -> Call:
    """A part as it is, without a graph."""

    def call(*arrays: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            out = part(*map(torch.from_numpy, arrays))
        return [each.numpy() for each in (out if isinstance(out, tuple) else (out,))]

    return call


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_exported_parts_give_the_scores_of_forward(name: str) -> None:
    model, shown, images = network(name), dots_for(name), pictures()
    if name in NOT_EXPORTED:
        with pytest.raises(UserError, match=r"; (train with|choose) "):
            exportable(model)
        return
    assert isinstance(model, GuidedNetwork)
    labels = 1 + max(label for dots in shown.values() for *_, label in dots)
    points = [(image, *dot) for image, key in enumerate(images) for dot in shown[key]]
    found = by_parts(
        {part: eager(module) for part, module in parts_of(model).items()},
        Example(list(images.values()), np.array(points, np.int64), labels),
    )
    for scores, query in zip(found, images, strict=True):
        torch.testing.assert_close(
            torch.from_numpy(scores), ask(model, images, query, shown, labels), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, "interactive") for name in COMPOSITIONS]
    + [(name, "semantic") for name in COMPOSITIONS if name not in OWN_IMAGE_ALONE],
)
def test_a_protocol_gives_the_labels_of_forward(name: str, mode: str) -> None:
    model = network(name)
    source = Boxes({f"{number}": (1, 2) for number in range(3)})
    data = EvaluationEpisodes(source, freeze(source, "test", Plan([mode], 1, shots=2, points=3)))  # type: ignore[list-item]
    episode = data[0].with_setting(1, 3)
    assert episode is not None
    with torch.inference_mode():
        scores = model(collate([episode]))[0, :, : episode.query.shape[1], : episode.query.shape[2]]
    assert same_labels(Answers(model).segment(data[0], episode), scores)


def video(dense: bool) -> list[tuple[EvaluationEpisode, Episode]]:
    """The items of one video, all shown by the same annotation of its first frame."""
    source = Shapes("test", size=48, tasks=4, frames=5)
    data = EvaluationEpisodes(source, freeze(source, "test", Plan(["video"], None, shots=1, points=3)))
    first = data[0]
    shown = first.with_setting(1, None if dense else 3)
    assert shown is not None
    same = [data[number] for number in range(len(data)) if data.frozen.episodes[number].groups == first.frozen.groups]
    return [(item, item.with_support(shown.support)) for item in same]


def finding(name: str) -> Network:
    """An untrained network that finds some pixels, not none and not all."""
    if name != "fused":
        return k_way("one_vs_rest" if name == "wrapped" else "native", network_of(*FINDS))
    made = network_of("+experiment=fused")
    with torch.no_grad():
        made.decoder.score.bias -= made(collate([video(False)[0][1]]))[0, 1].median()
    return made


@pytest.mark.parametrize("dense", [False, True], ids=["dots", "mask"])
@pytest.mark.parametrize(
    ("name", "memory"),
    [("fused", memory) for memory in MEMORIES]
    + [(name, kind) for name in ("late", "wrapped") for kind in ("none", "shot")],
)
def test_a_video_has_the_masks_of_the_protocol(name: str, memory: Memory, dense: bool, tmp_path: Path) -> None:
    asked, model = video(dense), finding(name)
    answers = Answers(model)
    if memory == "none":
        wanted = [answers.segment(item, episode) for item, episode in asked]
    else:
        wanted = [answers.remember(item, episode, "s", memory) for item, episode in asked]

    shot = asked[0][1].support[0]
    frames = [shot.image, *(episode.query for _, episode in asked)]
    session = Session(model, precision="fp32")
    session.add_label("it")
    for number, frame in enumerate(frames):
        save_image(frame, tmp_path / f"{number}.png")
    session.add_video("v", tmp_path)
    first = session.frame("v", 0)
    if shot.mask is not None:
        for label, of in enumerate(session.labels):
            session.mask(first, (shot.mask == label).numpy(), of)
    else:
        assert shot.points is not None
        for row, column, label in shot.points.tolist():
            session.dot(first, row, column, session.labels[label])
    found = [labels for _, labels in session.segment_video("v", memory=memory)][1:]
    for one, other in zip(found, wanted, strict=True):
        assert (one != other).mean() < 0.01, "more than rounding"
    assert 0.02 < np.mean(found) < 0.98
