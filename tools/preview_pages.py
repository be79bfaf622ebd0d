"""Draw every page of the hub from sample data, to look at: `python tools/preview_pages.py FOLDER [PAGE...]`.

Writes `<page>-<theme>-<width>-<language>.png`. Needs Debian's Chromium.
"""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.look.samples import PAGES
from tests.look.site import sample_site
from tests.support.browser import launch

LOOKS: list[tuple[Literal["light", "dark"], int, str]] = [
    ("light", 1280, "de"),
    ("dark", 1280, "en"),
    ("light", 360, "en"),
    ("dark", 360, "de"),
]


def main(folder: Path, pages: list[str]) -> None:
    """One picture for each page and look."""
    folder.mkdir(parents=True, exist_ok=True)
    with sample_site() as site, sync_playwright() as playwright, contextmanager(launch)(playwright) as browser:
        for theme, width, language in LOOKS:
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, locale=language)
            for name in pages:
                page = context.new_page()
                page.goto(f"{site}/{language}/{name}", wait_until="load")
                page.screenshot(path=folder / f"{name}-{theme}-{width}-{language}.png", full_page=True)
                page.close()
            context.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:] or list(PAGES))
