"""The picture at the top of README: python examples/photos.py FOLDER OUT.jpg, with the photos of FOLDER."""

import sys
from pathlib import Path

import cv2
import numpy as np

from guided_seg.session import NEGATIVE, Session

HEIGHT, GAP = 300, 6
POSITIVE_COLOUR, NEGATIVE_COLOUR = (0, 182, 123), (224, 64, 42)
DOTS = {  # (row, column, positive) in pixels of the photo
    "chelsea.jpg": [(150, 260, True), (40, 420, False)],
    "coffee.jpg": [(160, 340, True), (200, 170, True), (350, 60, False)],
    "astronaut.jpg": [(120, 220, True), (300, 140, True), (420, 330, True), (200, 60, False), (60, 400, False)],
}


def answer(photo: np.ndarray, dots: list[tuple[int, int, bool]]) -> np.ndarray:
    """What `guided-lite0` segments by the dots: bool ``[H, W]``."""
    session = Session.load("guided-lite0")
    session.add_image("photo", photo)
    thing = session.add_label("thing")
    for row, column, positive in dots:
        session.dot("photo", row, column, thing if positive else NEGATIVE)
    return session.segment("photo") == 1


def drawn(photo: np.ndarray, dots: list[tuple[int, int, bool]], mask: np.ndarray | None) -> np.ndarray:
    """The photo at `HEIGHT` with its dots; with a mask, what is not in it is pale."""
    picture = photo.copy()
    if mask is not None:
        picture[~mask] = 0.25 * picture[~mask] + 0.75 * 255
        edges, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, edges, -1, POSITIVE_COLOUR, 2, cv2.LINE_AA)
    scale = HEIGHT / photo.shape[0]
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for row, column, positive in dots if mask is None else []:
        place = round(column * scale), round(row * scale)
        cv2.circle(picture, place, 8, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, place, 6, POSITIVE_COLOUR if positive else NEGATIVE_COLOUR, -1, cv2.LINE_AA)
    return picture


def main(folder: Path, out: Path) -> None:
    """Two rows: the photos with their dots, and what the network segments."""
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for name, dots in DOTS.items():
        photo = cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB)
        for row, mask in zip(rows, (None, answer(photo, dots)), strict=True):
            row.append(drawn(photo, dots, mask))
    spaced = [[np.pad(cell, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for cell in row] for row in rows]
    picture = cv2.cvtColor(np.vstack([np.hstack(row) for row in spaced])[:-GAP, :-GAP], cv2.COLOR_RGB2BGR)
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), picture, [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
