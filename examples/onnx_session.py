"""Segment a folder of images by dots with the files of `python -m guided_seg.export` alone, on any machine.

python examples/onnx_session.py EXPORT IMAGES OUT 0,20,30,1 0,2,2,0 ...: of each dot the image, row, column and label.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


class OnnxSession:
    """Images are encoded once; dots on any of them guide the answers for all."""

    def __init__(self, folder: str | Path) -> None:
        files = [str(Path(folder) / f"{part}.onnx") for part in ("encoder", "guide", "segmentor")]
        self.encoder, self.guide, self.segmentor = map(onnxruntime.InferenceSession, files)
        self.maps, self.sizes, self.dots = [], [], {}

    def add_image(self, pixels: np.ndarray) -> int:
        """The number of an image, uint8 [H, W, 3] in RGB."""
        self.maps.append(run(self.encoder, {"image": pixels.transpose(2, 0, 1)[None] / np.float32(255)}))
        self.sizes.append(pixels.shape[:2])
        return len(self.maps) - 1

    def dot(self, image: int, row: int, column: int, label: int) -> None:
        """Show what a pixel is: 0 is the negative."""
        self.dots[image, row, column] = label

    def scores(self, image: int, num_labels: int) -> np.ndarray:
        """The score of each label at each pixel, [K, H, W]; -inf without dots, where another one has some."""
        shown = sorted({image for image, _, _ in self.dots}) or [image]
        points = np.array([(shown.index(i), *at, label) for (i, *at), label in self.dots.items()], np.int64)
        features, sizes = [self.maps[i]["features"] for i in shown], np.array([self.sizes[i] for i in shown])
        grids = np.array([each.shape[2:] for each in features])
        maps = [np.pad(f, [(0, 0), (0, 0), *((0, n) for n in grids.max(0) - f.shape[2:])]) for f in features]
        given = {"features": np.concatenate(maps), "grids": grids, "sizes": sizes, "size": np.array(self.sizes[image])}
        z = run(self.guide, given | {"points": points.reshape(-1, 4), "num_labels": np.array(num_labels)})
        scores, dotted = run(self.segmentor, given | self.maps[image] | z)["scores"], z["annotated"][1:, None, None]
        return np.concatenate([scores[:1], np.where(~dotted & dotted.any(), np.float32(-np.inf), scores[1:])])


def run(part: onnxruntime.InferenceSession, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of a part by name, from those of the values that it asks for."""
    names = [each.name for each in part.get_outputs()]
    return dict(zip(names, part.run(names, {each.name: values[each.name] for each in part.get_inputs()}), strict=True))


if __name__ == "__main__":
    session, paths = OnnxSession(sys.argv[1]), sorted(Path(sys.argv[2]).iterdir())
    for path in paths:
        session.add_image(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
    for image, row, column, label in (map(int, word.split(",")) for word in sys.argv[4:]):
        session.dot(image, row, column, label)
    Path(sys.argv[3]).mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        labels = session.scores(number, 1 + max(session.dots.values())).argmax(0)
        cv2.imwrite(str(Path(sys.argv[3]) / f"{path.stem}.png"), labels.astype(np.uint8))
