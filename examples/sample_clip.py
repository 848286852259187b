"""Write the sample clip of the page: a camera that moves over a photo.

python examples/sample_clip.py PHOTO OUT.mp4
"""

import sys

import cv2
import numpy as np

FRAMES, SIZE = 36, (360, 240)

photo, out = sys.argv[1:]
image = cv2.imread(photo)
height, width = image.shape[:2]
writer = cv2.VideoWriter(out, cv2.VideoWriter.fourcc(*"mp4v"), 12, SIZE)
for time in np.linspace(0, 2 * np.pi, FRAMES, endpoint=False):
    # a smaller part than the photo, which wanders, turns and comes nearer
    scale = SIZE[0] / (0.95 * width) * (1.1 + 0.12 * np.sin(time))
    centre = (width * (0.5 + 0.05 * np.cos(time)), height * (0.5 + 0.05 * np.sin(2 * time)))
    turn = cv2.getRotationMatrix2D(centre, 4 * np.sin(time), scale)
    turn[:, 2] += np.array(SIZE) / 2 - centre
    writer.write(cv2.warpAffine(image, turn, SIZE, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT))
writer.release()
