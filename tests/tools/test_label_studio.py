"""Label Studio: its requests to the page's server, and the masks that come back."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from PIL import Image
from starlette.testclient import TestClient
from support.networks import network
from support.pages import BASE

from guided_seg.app.desk import Desk
from guided_seg.app.opening import LABEL_STUDIO, SAMPLES, add_all
from guided_seg.app.running import Opening
from guided_seg.app.server import LONGEST_REQUEST, Desks, make_app
from guided_seg.app.uploads import Limits
from guided_seg.errors import UserError
from guided_seg.model.network import Network
from guided_seg.session import NEGATIVE, Session
from guided_seg.tools.label_studio import predict, version
from guided_seg.tools.label_studio_requests import MOST_TASKS

CONFIG = """
<View>
  <Image name="photo" value="$image" zoom="true"/>
  <BrushLabels name="brush" toName="photo"><Label value="cup"/><Label value="plate"/></BrushLabels>
  <KeyPointLabels name="point" toName="photo" smart="true"><Label value="cup"/><Label value="plate"/></KeyPointLabels>
</View>
"""
SIZE = (40, 52)
PHOTOS = ("a.png", "my cat 1.png", "c.png")
REQUEST = dict[str, Any]


@pytest.fixture
def session(tmp_path: Path, lite: Network) -> Session:
    """A session with three small photos."""
    for source, name in zip(("coffee", "chelsea", "rocket"), PHOTOS, strict=True):
        photo = Image.open(SAMPLES / f"{source}.jpg").resize(SIZE[::-1])
        (tmp_path / "photos").mkdir(exist_ok=True)
        photo.save(tmp_path / "photos" / name)
    made = Session(lite)
    add_all(made, [tmp_path / "photos"])
    return made


@pytest.fixture
def client(tmp_path: Path, session: Session) -> Iterator[TestClient]:
    """A server whose page for Label Studio has that session."""
    with serving(tmp_path, session) as made:
        yield made


def serving(folder: Path, session: Session, token: str | None = None) -> TestClient:
    def make(name: str) -> Desk:
        assert name == LABEL_STUDIO
        return Desk(name, session, folder / f"{name}.session", Lock(), lambda _: session)

    return TestClient(make_app(Desks(make), Limits(), ["localhost"], token), base_url=BASE)


def point(x: float, y: float, label: str = "cup", **more: Any) -> REQUEST:
    size = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0}
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [label], "labels": [label]}
    names = {"from_name": "point", "to_name": "photo", "id": "q", "origin": "manual"}
    return {**size, **names, "value": value, "type": "keypointlabels", "is_positive": True, **more}


def box(x: float, y: float, width: float, height: float, label: str = "cup") -> REQUEST:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]}
    return {**point(0, 0), "type": "rectanglelabels", "value": value}


def request(*regions: REQUEST, images: Any = ("/data/upload/1/0a1b2c3d-a.png",), **more: Any) -> REQUEST:
    """What Label Studio 1.23 sends."""
    tasks = [{"id": number, "data": {"image": address}, "annotations": []} for number, address in enumerate(images)]
    context = {"result": list(regions)} if regions else None
    params = {"login": None, "password": None, "context": context}
    return {"tasks": tasks, "project": "1.1700000000", "label_config": CONFIG, "params": params, **more}


def ask(session: Session, asked: Any) -> REQUEST:
    return predict(lambda job: job(session), json.dumps(asked).encode())


def read(converter: ModuleType, region: REQUEST) -> np.ndarray:
    """The mask of a region, as Label Studio's converter reads it."""
    layers = converter.decode_from_annotation("brush", [{**region, **region["value"]}])
    (mask,) = layers.values()
    return mask == 255


def test_key_points_give_the_mask_of_the_session(session: Session, converter: ModuleType) -> None:
    answer = ask(session, request(point(20, 50), point(90, 10, is_positive=False)))
    assert session.dots("a") == [(4, 46, NEGATIVE), (20, 10, "cup")]
    expected = session.refined("a") == session.labels.index("cup")
    ((region,),) = [each["result"] for each in answer["results"]]
    np.testing.assert_array_equal(read(converter, region), expected)
    assert region["value"]["brushlabels"] == ["cup"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("brush", "photo", "brushlabels")
    assert (region["original_height"], region["original_width"]) == SIZE
    assert answer["results"][0]["score"] == pytest.approx(session.confidence("a"))


def test_new_points_replace_those_of_their_labels_alone(session: Session) -> None:
    ask(session, request(point(20, 50)))
    ask(session, request(point(80, 50, "plate"), point(5, 5, "plate", is_positive=False)))
    ask(session, request(point(30, 50)))
    assert session.dots("a") == [(20, 15, "cup"), (20, 41, "plate")]


def test_boxes_and_plain_key_points_are_taken(session: Session) -> None:
    plain = point(0, 0)
    del plain["is_positive"]
    ask(session, request(box(10, 20, 50, 60), plain))
    own = Session(network("late_global"))
    own.add_image("a", np.zeros((*SIZE, 3), np.uint8))
    own.add_label("cup")
    own.box("a", (8, 5, 32, 31), "cup")
    own.dot("a", 0, 0, "cup")
    assert session.dots("a") == own.dots("a")


def test_one_image_guides_the_other_tasks(session: Session, converter: ModuleType) -> None:
    ask(session, request(point(20, 50), point(90, 10, is_positive=False)))
    others = ("/data/local-files/?d=photos/my%20cat%201.png", "s3://bucket/c.png", "/data/upload/7/0a1b2c3d-a.png")
    answer = ask(session, request(images=others))
    for name, result in zip(("my cat 1", "c", "a"), answer["results"], strict=True):
        expected = session.refined(name) == 1
        found = [read(converter, region) for region in result["result"]]
        np.testing.assert_array_equal(found[0] if found else np.zeros(SIZE, bool), expected)
    assert sum(len(result["result"]) for result in answer["results"]) > 1  # that of a, and another


@pytest.mark.parametrize(
    "address",
    [
        "0a1b2c3d-my_cat_1.png",
        "/data/upload/3/ffffffff-my_cat_1.png?x=1",
        "http://h:8080/data/local-files/?d=p/my cat 1.png",
    ],
)
def test_files_are_found_by_their_names(session: Session, address: str) -> None:
    ask(session, request(point(20, 50), images=[address]))
    assert session.annotated == ["my cat 1"]


def test_nothing_is_said_while_nothing_is_shown(session: Session) -> None:
    answer = ask(session, request(images=["a.png", "c.png"]))
    assert answer["results"] == [{"result": [], "score": 0.0}] * 2


def test_the_version_changes_with_the_annotations(session: Session) -> None:
    versions = [version(session)]
    for act in (
        lambda: session.dot("a", 1, 1, session.add_label("cup")),
        lambda: session.dot("a", 1, 2, NEGATIVE),
        lambda: session.mask("a", np.eye(*SIZE), "cup"),
        session.undo,
    ):
        act()
        versions.append(version(session))
    assert versions[4] == versions[2]
    assert len(set(versions[:4])) == 4


def changed(key: str, value: Any) -> REQUEST:
    return {**point(20, 50), key: value}


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (3, "The request does not fit: "),
        ({}, "Field required at tasks"),
        (request(images=[]), "at tasks"),
        (request(images=["a.png"] * (MOST_TASKS + 1)), "at tasks"),
        (request(tasks=[{"data": 3}]), "at tasks.0.data"),
        (request(tasks=[{"data": {"photo": "a.png"}}]), "no address at 'image'"),
        (request(images=[3]), "no address at 'image'"),
        (request(images=["nobody.png"]), "'nobody.png' is not open here; start the server with the folder"),
        (request(images=["http://[/a.png"]), "is not open here"),
        (request(images=["../../../etc/passwd"]), "'passwd' is not open here"),
        (request(label_config="<View>"), "is no XML"),
        (request(label_config="<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), "DOCTYPE"),
        (request(label_config="<View><Image name='i' value='$image'/></View>"), "no brush labels on an image"),
        (request(label_config="<View><BrushLabels name='b' toName='i'/></View>"), "no brush labels on an image"),
        (request(label_config=7), "at label_config"),
        (request(point(20, 50), images=["a.png", "c.png"]), "expected the one task"),
        (request(point(101, 50)), "less than or equal to 100 at x"),
        (request(point(20, 50, "dog")), r"the labels \['dog'\]; expected one of the brush labels: cup, plate"),
        (request(changed("original_width", 61)), "40 x 61 pixels in Label Studio but 40 x 52 here"),
        (request(changed("image_rotation", 90)), "turned by 90 degrees"),
        (request(changed("value", {"x": 3})), "A region does not fit: Field required at y"),
        (request(changed("value", [])), "at params.context.result.0.value"),
        (request(changed("type", "ellipselabels")), "no key point and no box"),
        (request(box(90, 90, 5, 5), point(1, 1, "cup", value={"x": 1, "y": 1, "keypointlabels": []})), "labels"),
    ],
)
def test_requests_that_do_not_fit_are_refused_with_a_sentence(
    client: TestClient, session: Session, asked: Any, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        ask(session, asked)
    response = client.post("/predict", json=asked)
    assert response.status_code == 400
    assert "Traceback" not in response.text
    assert list(response.json()) == ["text"]
    assert not session.annotated


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000])
def test_what_is_no_json_is_refused(client: TestClient, body: bytes) -> None:
    for path in ("/predict", "/setup"):
        response = client.post(path, content=body, headers={"content-type": "application/json"})
        assert response.status_code == 400
        assert "does not fit" in response.text


def test_a_request_is_not_too_long(client: TestClient) -> None:
    long = b" " * (LONGEST_REQUEST + 1)
    response = client.post("/predict", content=long, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert "send fewer tasks" in response.text


def test_the_server_answers_label_studio(client: TestClient, session: Session) -> None:
    assert client.get("/health").json()["status"] == "UP"
    schema = {"project": "1.17", "schema": CONFIG, "hostname": "http://localhost:8080", "access_token": "x"}
    first = client.post("/setup", json={**schema, "extra_params": None}).json()["model_version"]
    answer = client.post("/predict", json=request(point(20, 50), point(90, 10, is_positive=False))).json()
    assert answer["results"][0]["result"][0]["value"]["format"] == "rle"
    again = client.post("/setup", json=schema).json()["model_version"]
    assert again == answer["model_version"] == version(session)
    assert again != first
    assert client.post("/setup", json={"schema": "<View/>"}).status_code == 400


def test_its_dots_are_seen_on_a_page_and_saved(tmp_path: Path, client: TestClient) -> None:
    client.post("/predict", json=request(point(20, 50)))
    with client.websocket_connect(f"ws://localhost/s/{LABEL_STUDIO}/socket", headers={"origin": BASE}) as socket:
        state = json.loads(socket.receive_text())
        assert "cup" in json.dumps(state)
        client.post("/predict", json=request(point(20, 50, "plate")))
        while "plate" not in json.dumps(state):
            state = json.loads(socket.receive_text())
    client.__exit__(None, None, None)
    assert (tmp_path / f"{LABEL_STUDIO}.session").exists()


def test_its_page_begins_with_the_opened_session_and_leaves_it_alone(tmp_path: Path) -> None:
    checkpoint = next((Path(__file__).parents[1] / "old").glob("*.ckpt"))
    drawn = Session.load(checkpoint)
    drawn.add_image("coffee", SAMPLES / "coffee.jpg")
    drawn.dot("coffee", 5, 6, drawn.add_label("cup"))
    saved = drawn.save(tmp_path / "cups.session")
    before = saved.read_bytes()
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        cfg = compose("app", [f"state={tmp_path / 'state'}", f"checkpoint={checkpoint}"])
    for paths, labels in (([saved], [NEGATIVE, "cup"]), ([SAMPLES / "coffee.jpg"], [NEGATIVE])):
        made = Opening(cfg, paths).desk(LABEL_STUDIO)
        assert made.wait_for(lambda session: (session.images, session.labels)) == (["coffee"], labels)
        made.end()
        made.file.unlink()
    assert saved.read_bytes() == before


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": BASE}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 403),  # what a page elsewhere may send without asking first
        ({"host": "evil.example"}, 421),
    ],
)
def test_only_programs_and_the_page_itself_may_ask(client: TestClient, headers: dict[str, str], status: int) -> None:
    content = json.dumps(request()).encode()
    sent = {"content-type": "application/json", **headers}
    assert client.post("/predict", content=content, headers=sent).status_code == status


def test_other_changes_still_need_an_origin(client: TestClient) -> None:
    sent = {"content-type": "application/json"}
    assert client.post("/s/label-studio/upload", content=b"{}", headers=sent).status_code == 403


@pytest.mark.parametrize(
    ("given", "status"),
    [(None, 401), ("label:secret", 200), ("label:wrong", 401), (":secret", 200), ("secret", 401), ("%", 401)],
)
def test_a_token_is_a_password(tmp_path: Path, session: Session, given: str | None, status: int) -> None:
    text = "%" if given == "%" else base64.b64encode((given or "").encode()).decode()
    headers = {} if given is None else {"authorization": f"Basic {text}"}
    with serving(tmp_path, session, "secret") as client:
        assert client.post("/predict", json=request(), headers=headers).status_code == status
        assert client.get("/health", headers=headers).status_code == status


def test_a_prediction_costs_little_more_than_an_edit() -> None:
    """At most 30 ms beyond the edit itself, on a photo of the samples."""
    session = Session(network("late_global"))
    add_all(session, [SAMPLES])
    spent, beyond, clock = 0.0, [], time.process_time  # of this process alone, as others share the cores
    refined: Callable[[str], Any] = session.refined

    def timed(name: str) -> Any:
        nonlocal spent
        began = clock()
        labels = refined(name)
        spent = clock() - began
        return labels

    session.refined = timed  # type: ignore[method-assign]
    for number in range(8):
        given = [{**point(50, 40 + number), "original_width": 600, "original_height": 400}]
        body = json.dumps(request(*given, images=["coffee.jpg"])).encode()
        began = clock()
        predict(lambda job: job(session), body)
        beyond.append(clock() - began - spent)
    assert min(beyond) < 0.030
