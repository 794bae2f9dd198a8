"""A real headless browser for tests and pictures: Debian's chromium, driven by playwright. No page is known here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import ConsoleMessage, Page, Response, sync_playwright

__all__ = ["Browser", "MissingBrowserError", "browser", "open_browser"]

# Headless and silent: without these chromium asks its maker for updates, components and experiments.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class MissingBrowserError(RuntimeError):
    """This machine has no chromium."""


@dataclass
class Browser:
    """One page, and what it did: every address it requested, every error it reported, every answer >= 400."""

    page: Page
    requested: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._on_console)
        self.page.on("response", self._on_response)

    def open(self, url: str) -> Page:
        """Go there and wait until the page has loaded."""
        self.page.goto(url)
        return self.page

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.errors.append(f"{response.status} {response.url}")


@contextmanager
def open_browser(width: int = 1400, height: int = 900) -> Iterator[Browser]:
    """A browser of its own, ended on leaving. Raises MissingBrowserError with the way to install it."""
    executable = shutil.which("chromium")
    if executable is None:
        raise MissingBrowserError("chromium is not installed. Install it with: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, headless=True, args=list(FLAGS))
        try:
            yield Browser(chromium.new_page(viewport={"width": width, "height": height}))
        finally:
            chromium.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A test that needs a browser fails where there is none: a page nobody looked at is not tested."""
    try:
        with open_browser() as opened:
            yield opened
    except MissingBrowserError as missing:
        pytest.fail(str(missing))
