"""A headless Chromium that nothing distracts, for the benchmark and the tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from guided_seg.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "on Debian and Ubuntu: apt-get install chromium"
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
"""It runs as root, without a screen, and asks nobody anything."""


def chromium() -> str | None:
    """The path of Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A running browser.

    Raises:
        UserError: Chromium or Playwright is missing.
    """
    path = chromium()
    if path is None:
        raise UserError(f"There is no Chromium to drive; {HOW}.")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UserError("Playwright drives the browser and is not installed; pip install playwright.") from error
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        try:
            yield made
        finally:
            made.close()
