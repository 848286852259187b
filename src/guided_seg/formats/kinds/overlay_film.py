"""Films of the videos with their objects tinted, to look at and to show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

import cv2

from guided_seg.errors import UserError
from guided_seg.files.writing import whole_file
from guided_seg.formats.painting import overlay
from guided_seg.formats.segmented import Format, Segmented
from guided_seg.session.films.containers import utf8_name


def _write(folder: Path, images: Iterable[Segmented], _: Sequence[str]) -> Iterator[Path]:
    for video, frames in groupby(images, key=lambda each: each.name.partition("/")[0]):
        yield _film(folder / f"{video}.mp4", frames)


def _film(path: Path, frames: Iterator[Segmented]) -> Path:
    """Write an MP4 of the size of the first frame; other frames are scaled to it."""
    with whole_file(path) as partial:
        first = next(frames)
        height, width = first.labels.shape
        # the codec takes even sides, and OpenCV would cut off the last row or column
        down, right = height % 2, width % 2
        code, size = cv2.VideoWriter.fourcc(*"mp4v"), (width + right, height + down)
        film = cv2.VideoWriter(utf8_name(str(partial)), code, first.rate, size)
        try:
            if not film.isOpened():
                raise UserError(
                    f"OpenCV cannot write the video {path}; save as davis instead, or install opencv-python."
                )
            for each in chain([first], frames):  # one in memory at a time
                painted = cv2.cvtColor(overlay(each.pixels, each.labels), cv2.COLOR_RGB2BGR)
                fitted = cv2.resize(painted, (width, height)) if painted.shape[:2] != (height, width) else painted
                film.write(cv2.copyMakeBorder(fitted, 0, down, 0, right, cv2.BORDER_REPLICATE))
        finally:
            film.release()
    return path


FORMAT = Format("video", "An MP4 of each video with its objects tinted in their colours.", _write, of="videos")
