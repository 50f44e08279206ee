"""A real browser without a window, in which a page is opened as its reader does."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass
class Opened:
    """A page in the browser, with all that went wrong in it.

    Attributes:
        page: as Playwright has it.
        errors: that its scripts raised, and that it wrote to the console.
        requests: that left the page.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self.requests.append(request.url))


@contextmanager
def browser() -> Iterator[Browser]:
    """The system's Chromium or Chrome, else the one that Playwright has installed (`make browser`)."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    with sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            raise RuntimeError("there is no browser to open a report in: make browser installs one")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield launched
        finally:
            launched.close()


def open_page(
    launched: Browser, path: Path, *, scheme: Literal["light", "dark"] = "light", width: int = 1440
) -> Opened:
    """Open a page, and wait until its plots are drawn."""
    context = launched.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
    opened = Opened(context.new_page())
    opened.listen()
    opened.page.goto(path.as_uri(), timeout=120_000)
    opened.page.wait_for_function("document.documentElement.dataset.ready === 'true'", timeout=120_000)
    return opened
