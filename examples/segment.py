"""Segment a folder of images and a video by a few dots: python examples/segment.py CHECKPOINT FOLDER VIDEO OUT."""

import sys
from pathlib import Path

from PIL import Image

from guided_seg.session import NEGATIVE, Session

checkpoint, folder, video, out = map(Path, sys.argv[1:])
session = Session.load(checkpoint)
thing = session.add_label("thing")
for path in sorted(folder.iterdir()):
    session.add_image(path.stem, path)
session.dot(session.images[0], 20, 30, thing)  # row and column on the first image: what to segment,
session.dot(session.images[0], 2, 2, NEGATIVE)  # and what not
session.add_video("video", video)
out.mkdir(parents=True, exist_ok=True)
for name, labels in [*session.segment_all(), *session.segment_video("video")]:
    Image.fromarray(labels * 255).save(out / f"{name}.png")
