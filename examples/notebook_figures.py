"""All plots of a notebook in one picture, without Jupyter: python examples/notebook_figures.py NOTEBOOK OUT.jpg."""

import json
import os
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

mpl.use("Agg")
import matplotlib.pyplot as plt

WIDTH = 880


def figures(notebook: Path) -> list[plt.Figure]:
    """Run the code of a notebook in the current folder, and return what it plots."""
    shown: list[plt.Figure] = []
    plt.show = lambda: shown.append(plt.gcf())
    names: dict[str, object] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{notebook}, {cell['id']}", "exec"), names)
    return shown


def main(notebook: Path, out: Path) -> None:
    """Write the picture."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for figure in figures(notebook):
            figure.set_dpi(80)
            figure.canvas.draw()
            pixels = np.asarray(figure.canvas.buffer_rgba())[:, :WIDTH, :3]
            rows.append(np.pad(pixels, ((0, 4), (0, WIDTH - pixels.shape[1]), (0, 0)), constant_values=255))
    Image.fromarray(np.vstack(rows)).save(out, quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
