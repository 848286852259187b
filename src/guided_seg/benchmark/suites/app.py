"""The page in a real browser: from a click to the painted answer, hovering, a clip, starting and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from omegaconf import DictConfig

from guided_seg.benchmark.suites.released import MODEL
from guided_seg.benchmark.timing import Row, row
from guided_seg.errors import UserError
from guided_seg.machine.browser import browser

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from websockets.sync.client import ClientConnection

CLICKS, REFINED, HOVERING, CLIP, CLICKS_WHILE_PLAYING, IMAGES = 200, 100, 5.0, 100, 8, 1000
"""Timed clicks, those until the refined answer, seconds of hovering, frames of the clip, timed clicks meanwhile, and
images that are filled."""

APART = 300
"""Milliseconds between clicks that are refined. The page refines faster ones after the last of them."""


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure the page with `MODEL`, or another checkpoint."""
    what = f"{cfg.checkpoint or MODEL}, {cfg.height} x {cfg.width}, {os.cpu_count()} cores"
    torch_alone = _seconds_of_import("torch")
    with tempfile.TemporaryDirectory(prefix="guided_seg-") as folder:
        photos = Path(folder) / "photos"
        _write_photos(photos, cfg)
        began = time.perf_counter()
        with _server(photos, Path(folder) / "state", cfg) as (address, process), browser() as driven:
            up = time.perf_counter() - began
            yield row(
                "app_up_s", up, "s", "from the command to the printed address; reference: import torch", torch_alone
            )
            page = driven.new_page(viewport={"width": 1280, "height": 800})
            began = time.perf_counter()
            page.goto(f"{address}s/main")
            _until(page, "n => performance.getEntriesByName('first-contentful-paint').length > n", 0)
            first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            yield row("app_first_page_s", first / 1e3, "s", "from opening the page to its first paint")
            _until(page, "n => window.guided && window.guided.painted > n", 0)
            yield row(
                "app_first_image_s", time.perf_counter() - began, "s", "to the first image, with the network loaded"
            )
            yield from _clicked(page, cfg, what)
            yield from _hovered(page, cfg, what)
            yield from _played(page, what)
            page.goto(f"{address}s/refined")
            _until(page, "n => window.guided && window.guided.painted > n", 0)
            yield from _refined(page, cfg, what)
            page.close()
            yield from _clicked_while_playing(address, cfg)
            yield from _clicked_often(address, process.pid, cfg)
        many = Path(folder) / "many"
        many.mkdir()
        for number in range(IMAGES):
            (many / f"{number:04d}.jpg").hardlink_to(photos / f"photo{number % 4}.jpg")
        with _server(many, Path(folder) / "state", cfg) as (address, process):
            yield from _filled(address, process.pid)


def _clicked(page: Page, cfg: DictConfig, what: str) -> Iterator[Row]:
    _show(page, "photo0")
    times = [_click(page, each) for each in _places(cfg, CLICKS + 5)][5:]
    yield row("app_click_ms", median(times), "ms", f"median of {CLICKS} clicks, from the event to the paint, {what}")
    yield row("app_click_p95_ms", sorted(times)[int(0.95 * CLICKS)], "ms", "p95 of the same clicks")


def _refined(page: Page, cfg: DictConfig, what: str) -> Iterator[Row]:
    """As `_clicked`, until the refined answer is painted, in a session of its own."""
    _show(page, "photo0")
    times = [_click(page, each, refined=True) for each in _places(cfg, REFINED + 5)][5:]
    of = f"median of {REFINED} clicks, from the event to the paint of the refined answer, {what}"
    yield row("app_refined_ms", median(times), "ms", of)
    yield row("app_refined_p95_ms", sorted(times)[int(0.95 * REFINED)], "ms", "p95 of the same clicks")


def _hovered(page: Page, cfg: DictConfig, what: str) -> Iterator[Row]:
    seen, began = page.evaluate("window.guided.painted"), time.perf_counter()
    for number in range(10**6):
        place = (cfg.height // 4 + number % (cfg.height // 2), cfg.width // 4 + (3 * number) % (cfg.width // 2))
        page.mouse.move(*_on_screen(page, place))
        if time.perf_counter() - began > HOVERING:
            break
    seconds = time.perf_counter() - began
    painted = page.evaluate("window.guided.painted") - seen
    yield row("app_hovers_per_s", painted / seconds, "1/s", f"painted previews while the pointer moves, {what}")


def _played(page: Page, what: str) -> Iterator[Row]:
    page.locator('[data-testid="shot"][data-image^="clip"]').click()
    page.wait_for_timeout(1000)
    before, began = page.evaluate("window.guided.painted"), time.perf_counter()
    page.get_by_test_id("play").click()
    _until(page, "n => window.guided.painted >= n", before + CLIP)
    seconds = time.perf_counter() - began
    yield row("app_frames_per_s", CLIP / seconds, "1/s", f"painted frames of a clip of {CLIP} frames, {what}")


def _clicked_while_playing(address: str, cfg: DictConfig) -> Iterator[Row]:
    """From a click to its label map while a clip is segmented, without a browser."""
    times = []
    with _socket(address, "playing") as socket:
        places = _places(cfg, CLICKS_WHILE_PLAYING + 1)
        _dot(socket, 0, places[0])
        socket.send(json.dumps({"n": 1, "do": "play", "video": "clip"}))
        for number, place in enumerate(places[1:], 2):
            time.sleep(0.2)
            began = time.perf_counter()
            _dot(socket, number, place)
            times.append(1e3 * (time.perf_counter() - began))
    of = f"median of {len(times)} clicks on a photo while the clip plays, from the message to its label map"
    yield row("app_click_while_playing_ms", median(times), "ms", of)


def _dot(socket: ClientConnection, number: int, place: tuple[int, int]) -> None:
    """Set a dot on a photo, and wait for its label map."""
    dot = {"n": number, "do": "dot", "image": "photo0", "row": place[0], "column": place[1], "label": 1}
    socket.send(json.dumps(dot))
    while True:
        message = socket.recv()
        if (
            isinstance(message, bytes)
            and json.loads(message[4 : 4 + int.from_bytes(message[:4], "little")])["n"] == number
        ):
            return


def _clicked_often(address: str, process: int, cfg: DictConfig) -> Iterator[Row]:
    """Growth of the server's memory over many clicks, sent without a browser."""
    rng = np.random.default_rng(cfg.seed)
    with _socket(address, "often") as socket:
        first = 0.0
        for number in range(cfg.edits):
            place = {"row": int(rng.integers(cfg.height)), "column": int(rng.integers(cfg.width))}
            for do in ({"do": "dot", "label": 1}, {"do": "remove"}):
                socket.send(json.dumps({"n": number, "image": "photo0", **place, **do}))
                while isinstance(socket.recv(), str):
                    pass
            if number == min(1000, cfg.edits // 2):
                first = _megabytes(process)
        last = _megabytes(process)
    of = f"memory of the server after {2 * cfg.edits:,} edits; reference: after {2 * min(1000, cfg.edits // 2):,}"
    yield row("app_memory_mb", last, "MB", of, first)


def _filled(address: str, process: int) -> Iterator[Row]:
    """Growth of the server's memory over many images, and how fast they are filled."""
    with _socket(address, "many") as socket:
        socket.send(json.dumps({"n": 1, "do": "dot", "image": "0000", "row": 100, "column": 100, "label": 1}))
        socket.send(json.dumps({"n": 2, "do": "fill"}))
        first, began = 0.0, time.perf_counter()
        while True:
            message = socket.recv()
            told = json.loads(message) if isinstance(message, str) else {}
            if told.get("type") == "progress" and told["done"] == IMAGES // 2:
                first = _megabytes(process)
            if told.get("type") == "progress" and told["ended"]:
                break
    seconds, last = time.perf_counter() - began, _megabytes(process)
    yield row("app_fill_per_s", IMAGES / seconds, "1/s", f"images that are segmented in the background, of {IMAGES:,}")
    of = f"memory of the server after {IMAGES:,} images; reference: after {IMAGES // 2:,}"
    yield row("app_memory_of_images_mb", last, "MB", of, first)


def _socket(address: str, page: str) -> AbstractContextManager[ClientConnection]:
    from websockets.sync.client import connect
    from websockets.typing import Origin

    origin = Origin(address.rstrip("/"))
    # no pings: a busy machine may answer late, and is measured all the same
    return connect(
        f"ws{origin.removeprefix('http')}/s/{page}/socket", origin=origin, max_size=None, open_timeout=60,
        ping_interval=None,
    )  # fmt: skip


def _until(page: Page, condition: str, arg: float, limit: float = 120) -> None:
    """Wait for a condition in the page. Playwright's own way evaluates text, which the page's policy forbids."""
    end = time.monotonic() + limit
    while not page.evaluate(condition, arg):
        if time.monotonic() > end:
            raise UserError(f"The page did not come so far within {limit:g} seconds: {condition}.")
        page.wait_for_timeout(2)


def _show(page: Page, image: str) -> None:
    before = page.evaluate("window.guided.painted")
    page.locator(f'[data-testid="shot"][data-image="{image}"]').click()
    _until(page, "n => window.guided.painted > n", before)
    page.evaluate(
        "document.querySelector('[data-testid=stage]').addEventListener('pointerdown', () => {"
        " window.clickedAt = performance.now(); }, {capture: true})"
    )


def _click(page: Page, place: tuple[int, int], refined: bool = False) -> float:
    """Milliseconds from the event of a click to the paint of its answer, or of the refined one."""
    if refined:
        page.wait_for_timeout(APART)
    before = page.evaluate("performance.now()")
    page.mouse.click(*_on_screen(page, place))
    last = "lastRefined" if refined else "lastPaint"
    _until(
        page,
        f"t => window.clickedAt > t && window.guided.{last}?.time > window.clickedAt"
        f" && window.guided.{last}.of === '{'refined' if refined else 'answer'}'",
        before,
    )
    return float(page.evaluate(f"window.guided.{last}.time - window.clickedAt"))


def _on_screen(page: Page, place: tuple[int, int]) -> tuple[float, float]:
    box = page.get_by_test_id("stage").bounding_box()
    view = page.evaluate("window.guided.view")
    assert box is not None
    row_, column = place
    return (
        box["x"] + view["x"] + (column + 0.5) * view["scale"],
        box["y"] + view["y"] + (row_ + 0.5) * view["scale"],
    )


def _places(cfg: DictConfig, number: int) -> list[tuple[int, int]]:
    """Pixels of a grid in random order, far enough apart that no click hits an earlier dot."""
    grid = [(y, x) for y in range(20, cfg.height - 20, 25) for x in range(20, cfg.width - 20, 25)]
    order = np.random.default_rng(cfg.seed).permutation(len(grid))
    return [grid[each] for each in order[:number]]


def _write_photos(folder: Path, cfg: DictConfig) -> None:
    rng = np.random.default_rng(cfg.seed)
    noise = rng.integers(0, 256, (cfg.height, cfg.width, 3), np.uint8)
    (folder / "clip").mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(folder / f"photo{number}.jpg"), cv2.GaussianBlur(np.roll(noise, 97 * number, 0), (0, 0), 6))
    for number in range(CLIP):
        cv2.imwrite(str(folder / "clip" / f"{number:05d}.jpg"), cv2.GaussianBlur(np.roll(noise, number, 1), (0, 0), 6))


@contextmanager
def _server(photos: Path, state: Path, cfg: DictConfig) -> Iterator[tuple[str, Any]]:
    line = [sys.executable, "-m", "guided_seg.app", str(photos), "port=0", "open=false", f"state={state}"]
    line += [f"checkpoint={cfg.checkpoint or MODEL}"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            if not said.startswith("http"):
                raise UserError("The server of the page did not start; what it printed above says why.")
            yield said.split()[0], process
        finally:
            process.terminate()
            process.wait(20)


def _seconds_of_import(module: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - began


def _megabytes(process: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise UserError(f"The memory of process {process} cannot be read; this suite needs Linux.")
