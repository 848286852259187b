"""Take pictures of the page in each of its views: python examples/page_pictures.py OUT_FOLDER."""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from guided_seg.machine.browser import browser

PHOTO, CUP, SAUCER, TABLE = "coffee", (150, 300), (300, 190), (30, 560)
DOTS = ((CUP, "left"), (SAUCER, "left"), (TABLE, "right"), ((380, 40), "right"))
VIEWS = ("overlay", "outline", "cutout", "heat", "similarity")
SIZES = {"page": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 800}}

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def keep(page: Page, name: str) -> None:
    """Save what the browser shows."""
    page.wait_for_timeout(1500)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.save(out / f"{name}.jpg", quality=85, optimize=True)


def click(page: Page, pixel: tuple[int, int], button: str) -> None:
    """Click on a pixel of the image."""
    box, view = page.get_by_test_id("stage").bounding_box(), page.evaluate("window.guided.view")
    row, column = pixel
    x, y = box["x"] + view["x"] + (column + 0.5) * view["scale"], box["y"] + view["y"] + (row + 0.5) * view["scale"]
    page.mouse.click(x, y, button=button)
    page.wait_for_timeout(300)


with tempfile.TemporaryDirectory() as state:
    line = [sys.executable, "-m", "guided_seg.app", "port=0", "open=false", f"state={state}"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server, browser() as driven:
        address = server.stdout.readline().split()[0]
        for number, (name, size) in enumerate(SIZES.items()):
            page = driven.new_page(viewport=size)
            page.goto(f"{address}s/{name}")
            page.locator(f'[data-testid="shot"][data-image="{PHOTO}"]').click()
            page.wait_for_timeout(1500)
            for pixel, button in DOTS:
                click(page, pixel, button)
            page.mouse.move(5, 5)
            keep(page, name)
            if number:
                continue
            for view in VIEWS[1:]:
                page.get_by_test_id(f"view-{view}").click()
                keep(page, view)
            page.get_by_test_id(f"view-{VIEWS[0]}").click()
            page.locator('[data-testid="shot"][data-image^="clip"]').click()
            page.get_by_test_id("play").click()
            page.wait_for_timeout(1500)
            keep(page, "video")
            page.get_by_test_id("help").click()
            keep(page, "help")
        server.terminate()

tiles = [Image.open(out / f"{view}.jpg").resize((640, 400), Image.Resampling.LANCZOS) for view in VIEWS[1:]]
together = Image.new("RGB", (1280, 800))
for number, tile in enumerate(tiles):
    together.paste(tile, (640 * (number % 2), 400 * (number // 2)))
together.save(out / "views.jpg", quality=85, optimize=True)
