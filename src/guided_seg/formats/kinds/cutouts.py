"""Objects cut out of their images: PNGs that are transparent elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from guided_seg.files.writing import whole_file
from guided_seg.formats.naming import safe_names
from guided_seg.formats.segmented import Format, Segmented, present


def _write(folder: Path, images: Iterable[Segmented], labels: Sequence[str]) -> Iterator[Path]:
    files = safe_names(labels[1:])
    for each in images:
        for number in present(each.labels):
            inside = (each.labels == number)[..., None]
            # no colour where it cannot be seen: smaller files, and nothing of the background is given away
            pixels = np.concatenate([each.pixels * inside, inside * np.uint8(255)], axis=2)
            path = folder / each.name / f"{files[labels[number]]}.png"
            with whole_file(path) as partial:
                Image.fromarray(pixels).save(partial, format="PNG")
            yield path


FORMAT = Format("cutouts", "A PNG of each object at its place in the image, transparent everywhere else.", _write)
