"""The pictures of the pages about other tools: python examples/tool_pictures.py PHOTO FOLDER.

They show what each adapter returns for a few clicks, read back by the tool's own package. That of napari needs it.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cvat_sdk import auto_annotation as cvat
from cvat_sdk.masks import decode_mask
from photos import drawn
from PIL import Image

from guided_seg.session import Session
from guided_seg.tools.cvat import Interactor
from guided_seg.tools.label_studio import predict

DOTS = [(160, 340, True), (200, 170, True), (350, 60, False)]
"""Row, column, and whether it is on the object."""
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="cup"/></BrushLabels></View>"""


class Clicks(cvat.InteractionPrompts):
    """The dots, as CVAT hands them over."""

    pos_points = tuple((column, row) for row, column, positive in DOTS if positive)
    neg_points = tuple((column, row) for row, column, positive in DOTS if not positive)
    bounding_box = None


def of_cvat(photo: Image.Image) -> np.ndarray:
    """What the function for CVAT returns."""
    function, context = Interactor(Session.load("guided-lite0")), cvat.InteractionFunctionContext()
    (shape,) = function.detect(context, function.preprocess_image(context, photo), Clicks())
    return decode_mask(shape.points, image_width=photo.width, image_height=photo.height)


def of_label_studio(photo: Path, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Another photo, and what Label Studio gets for both."""
    from label_studio_converter.brush import decode_rle

    other = np.ascontiguousarray((np.array(Image.open(photo))[:, ::-1] * 0.6).astype(np.uint8))
    path = folder / "other.png"
    Image.fromarray(other).save(path)
    session = Session.load("guided-lite0")
    session.add_image("photo", photo)
    session.add_image("other", path)
    height, width = session.picture("photo").size
    points = [
        {
            "type": "keypointlabels",
            "is_positive": positive,
            "original_width": width,
            "original_height": height,
            "value": {"x": 100 * column / width, "y": 100 * row / height, "keypointlabels": ["cup"]},
        }
        for row, column, positive in DOTS
    ]
    masks = []
    for image, context in ((photo, {"result": points}), (path, None)):
        request = {"tasks": [{"data": {"image": image.name}}], "label_config": CONFIG, "params": {"context": context}}
        answer = predict(lambda job: job(session), json.dumps(request).encode())
        runs = answer["results"][0]["result"][0]["value"]["rle"]
        masks.append(decode_rle(runs).reshape(height, width, 4)[..., 3] == 255)
    path.unlink()
    return other, masks[0], masks[1]


def of_napari(photo: np.ndarray) -> np.ndarray:
    """The widget, beside the layers that it made."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from napari._qt.qt_event_loop import get_qapp
    from napari.components import ViewerModel

    from guided_seg.tools.napari import DOTS as OF_DOTS
    from guided_seg.tools.napari import MASKS, widget

    app = get_qapp()
    viewer: Any = ViewerModel()
    made: Any = widget(viewer)
    image, label, background, _, begin, this, *_ = made
    viewer.add_image(photo, rgb=True, name="photo")
    image.value, label.value = "photo", "cup"
    begin.changed.emit(True)
    for row, column, positive in DOTS:
        background.value = not positive
        viewer.layers["photo" + OF_DOTS].add([row, column])
    this.changed.emit(True)
    made.native.resize(300, photo.shape[0])
    made.native.show()
    app.processEvents()
    grabbed = made.native.grab().toImage().convertToFormat(made.native.grab().toImage().Format.Format_RGB888)
    rows = np.frombuffer(grabbed.constBits().asstring(grabbed.sizeInBytes()), np.uint8)
    panel = rows.reshape(grabbed.height(), grabbed.bytesPerLine())[:, : grabbed.width() * 3]
    panel = panel.reshape(grabbed.height(), grabbed.width(), 3)
    layers = drawn(photo, DOTS, viewer.layers["photo" + MASKS].data == 1)
    high = max(len(panel), len(layers))
    parts = [np.pad(part, ((0, high - len(part)), (0, 6), (0, 0)), constant_values=255) for part in (layers, panel)]
    return np.hstack(parts)


def main(photo: Path, folder: Path) -> None:
    """Write the pictures."""
    image = Image.open(photo).convert("RGB")
    pixels = np.array(image)
    folder.mkdir(parents=True, exist_ok=True)
    clicked = drawn(pixels, DOTS, None)
    save(folder / "cvat.jpg", [clicked, drawn(pixels, DOTS, of_cvat(image))])
    other, mask, guided = of_label_studio(photo, folder)
    save(folder / "label_studio.jpg", [clicked, drawn(pixels, DOTS, mask), drawn(other, [], guided)])
    try:
        save(folder / "napari.jpg", [of_napari(pixels)])
    except ImportError as error:
        print(f"No picture of napari: {error}.")  # noqa: T201


def save(path: Path, cells: list[np.ndarray]) -> None:
    """Write pictures side by side."""
    spaced = [np.pad(cell, ((0, 0), (0, 6), (0, 0)), constant_values=255) for cell in cells]
    Image.fromarray(np.hstack(spaced)[:, :-6]).save(path, quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
