"""The browser that tests of the page drive."""

from __future__ import annotations

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--use-fake-device-for-media-stream",  # A camera that shows a clock; a page gets it once a test grants that.
]
