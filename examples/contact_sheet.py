"""A contact sheet of photos after one, two and three clicks.

python examples/contact_sheet.py DOTS.json OUT.jpg [CHECKPOINT]

DOTS.json is a file of dots, as `guided-seg segment support=DOTS.json` reads it, beside the photos; the dots of a photo
are its clicks in their order. Each photo is a strip of three pictures.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from guided_seg.data.images import read_image
from guided_seg.segment.dots_file import Dot, read_dots
from guided_seg.session import NEGATIVE, Session

CLICKS, ACROSS = 3, 3
"""Clicks a photo, and strips side by side."""
SIDE, GAP = 190, 4
"""Pixels of a picture's side, and between pictures."""
POSITIVE_COLOUR, NEGATIVE_COLOUR = (0, 182, 123), (224, 64, 42)


def strip(photo: np.ndarray, clicks: list[Dot], checkpoint: str) -> np.ndarray:
    """The photo after each click; what is not segmented is pale."""
    session = Session.load(checkpoint)
    session.add_image("photo", photo)
    thing, pictures = session.add_label("thing"), []
    for number, (row, column, label) in enumerate(clicks[:CLICKS], 1):
        session.dot("photo", row, column, NEGATIVE if label == "negative" else thing)
        pictures.append(drawn(photo, session.segment("photo") > 0, clicks[:number]))
    return np.hstack([np.pad(each, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for each in pictures])


def drawn(photo: np.ndarray, mask: np.ndarray, clicks: list[Dot]) -> np.ndarray:
    """A square picture of the mask and the clicks so far."""
    picture = photo.copy()
    picture[~mask] = 0.25 * picture[~mask] + 0.75 * 255
    edges, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    scale = SIDE / max(photo.shape[:2])
    cv2.drawContours(picture, edges, -1, POSITIVE_COLOUR, max(1, round(1.5 / scale)), cv2.LINE_AA)
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for row, column, label in clicks:
        place = round(column * scale), round(row * scale)
        cv2.circle(picture, place, 6, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, place, 4, NEGATIVE_COLOUR if label == "negative" else POSITIVE_COLOUR, -1, cv2.LINE_AA)
    high, wide = (SIDE - length for length in picture.shape[:2])
    return np.pad(picture, ((high // 2, high - high // 2), (wide // 2, wide - wide // 2), (0, 0)), constant_values=255)


def main(dots: Path, out: Path, checkpoint: str = "guided-lite0") -> None:
    """Draw all photos of the file of dots, in its order."""
    strips = [strip(read_image(path), list(clicks), checkpoint) for path, clicks in read_dots(dots).images.items()]
    while len(strips) % ACROSS:
        strips.append(np.full_like(strips[0], 255))
    picture = np.vstack([np.hstack(strips[start : start + ACROSS]) for start in range(0, len(strips), ACROSS)])
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 75])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
