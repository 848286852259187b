"""Label maps kept on disk, so that a stopped job resumes without segmenting an image twice."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from guided_seg.files.writing import whole_file
from guided_seg.session.store import Labels


class KeptMaps:
    """A folder of label maps, one PNG for each image. Several processes may fill it.

    Args:
        folder: the folder, which need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, image: str, version: str) -> Labels | None:
        """The label map of an image; None if it was not kept, or of another version of the image.

        Args:
            image: its id.
            version: what changes when its pixels change; empty if nothing of it is kept.
        """
        path = self._path(image, version)
        if not version or not path.is_file():
            return None
        data = np.frombuffer(path.read_bytes(), np.uint8)
        # a machine that loses power may leave an empty file
        found = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
        return None if found is None or found.ndim != 2 else np.asarray(found, np.uint8)

    def has(self, image: str, version: str) -> bool:
        """Whether a label map was kept; see `find`."""
        return bool(version) and self._path(image, version).is_file()

    def keep(self, image: str, version: str, labels: Labels) -> None:
        """Keep a label map, whole or not at all; see `find`. Raises `OSError` if the disk does not take it."""
        if version:
            data = cv2.imencode(".png", labels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
            with whole_file(self._path(image, version)) as partial:
                partial.write_bytes(data.tobytes())

    def _path(self, image: str, version: str) -> Path:
        key = sha256(f"{version}\n{image}".encode("utf-8", "surrogatepass")).hexdigest()[:40]
        return self.folder / f"{key}.png"
