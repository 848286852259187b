"""What the guidance means: the cosines between the features of an image and z of a label."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.networks import FULL, LATE, OWN_IMAGE_ALONE, network
from torch.nn.functional import normalize

from guided_seg.episode import Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.model.network import GuidedNetwork
from guided_seg.session import Session

DOTS = [("a", 3, 5, 1), ("a", 20, 35, 1), ("b", 20, 35, 0)]


def expected(model: GuidedNetwork, pictures: dict[str, np.ndarray], query: str) -> np.ndarray:
    """The largest cosine between the features and z of label 1, of one whole episode."""
    images = {name: torch.from_numpy(picture).permute(2, 0, 1) / 255 for name, picture in pictures.items()}
    support = []
    for name, image in images.items():
        points = torch.tensor([dot[1:] for dot in DOTS if dot[0] == name])
        support.append(Shot(image, points=points, is_query=name == query))
    batch = collate([Episode(images[query], torch.zeros(images[query].shape[1:], dtype=torch.uint8), support)])
    with torch.inference_mode():
        features = model.encode(batch.images, batch.sizes)
        guidance = model.extract(features, batch)
    z = normalize(guidance.z[0, 1].reshape(features.maps.shape[1], -1), dim=0)
    own = normalize(features[:1].unpadded()[0][0], dim=0)
    cosines = torch.einsum("chw,cm->mhw", own, z)
    return (cosines if guidance.valid is None else cosines[guidance.valid[0, 1]]).amax(0).numpy()


@pytest.mark.parametrize("name", [name for name in LATE if name not in OWN_IMAGE_ALONE])
def test_similarity_is_the_largest_cosine_to_z(name: str, pictures: dict[str, np.ndarray]) -> None:
    model = network(name)
    assert isinstance(model, GuidedNetwork)
    session = Session(model)
    for image, picture in pictures.items():
        session.add_image(image, picture)
    session.add_label("cup")
    for dot in DOTS:
        session.dot(*dot)
    for image in pictures:
        found = session.similarity(image, "cup")
        assert found.dtype == np.float32
        assert np.abs(found).max() <= 1
        np.testing.assert_allclose(found, expected(model, pictures, image), atol=1e-4)
    assert session.encodes == {"a": 1, "b": 1}


def test_what_is_annotated_is_similar_to_itself(pictures: dict[str, np.ndarray]) -> None:
    """In the corner of an image, z of a dot is the feature of one cell."""
    session = Session(network("prototypes"))
    session.add_image("a", pictures["a"])
    session.dot("a", 36, 49, session.add_label("cup"))
    found = session.similarity("a", 1)
    assert found[-1, -1] == pytest.approx(1)
    assert found.argmax() == found.size - 1


def test_local_guidance_is_compared_position_by_position(pictures: dict[str, np.ndarray]) -> None:
    session = Session(network("late_local"))
    for image, picture in pictures.items():
        session.add_image(image, picture)
    session.dot("a", 0, 0, session.add_label("cup"))
    found = session.similarity("a", "cup")
    assert found[0, 0] == pytest.approx(1)
    assert found[-1, -1] == 0
    with pytest.raises(UserError, match="Nothing that guides 'b' is annotated with label 'cup'"):
        session.similarity("b", "cup")


@pytest.mark.parametrize("name", [*FULL, "foreground_background"])
def test_a_network_without_z_says_so(name: str, pictures: dict[str, np.ndarray]) -> None:
    session = Session(network(name))
    session.add_image("a", pictures["a"])
    session.dot("a", 3, 4, session.add_label("cup"))
    with pytest.raises(UserError, match="no z that the features of an image can be compared with; take one"):
        session.similarity("a", "cup")


@pytest.mark.parametrize(
    ("image", "label", "sentence"),
    [
        ("c", "cup", "no image 'c'"),
        ("a", "plate", "no label 'plate'"),
        ("a", "cup", "Nothing that guides 'a' is annotated with label 'cup', so there is nothing to compare with"),
    ],
)
def test_similarity_to_nothing_is_refused(late: Session, image: str, label: str, sentence: str) -> None:
    late.add_label("cup")
    with pytest.raises(UserError, match=sentence):
        late.similarity(image, label)
