"""What a page shows in each look: measured by axe, and kept as pictures if somebody wants them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import CDPSession, Page

# The rules of WCAG 2.2 A and AA, and those that are good practice.
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
# Whatever fades or slides has come to its end; what turns for as long as one waits has none.
_SETTLED = """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))).then(() =>
  Promise.allSettled(document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime !== Infinity)
    .map((one) => one.finished)))"""
_WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
_TALL = "() => Math.max(document.documentElement.scrollHeight, document.documentElement.clientHeight)"


@dataclass(frozen=True)
class Look:
    """A screen, in pixels, and what goes with it."""

    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    touch: bool = False


LOOKS = {
    "desktop": Look(1280, 900),
    "dark": Look(1280, 900, "dark"),
    "phone": Look(375, 812, touch=True),
    "phone-dark": Look(375, 812, "dark", touch=True),
    "tablet": Look(800, 1100, touch=True),
}


class Album:
    """Pictures of pages, and the faults that were found while they were taken."""

    def __init__(self, folder: Path | None) -> None:
        """folder: where the pictures are kept; None: nobody wants any."""
        self._folder = folder
        self._fingers: dict[Page, CDPSession] = {}
        self.faults: list[str] = []

    @property
    def wanted(self) -> bool:
        """Whether there are to be pictures."""
        return self._folder is not None

    def show(
        self,
        page: Page,
        name: str,
        *,
        measure: Collection[str] = (),
        fit: Collection[str] = (),
        keep: Collection[str] = (),
        whole: bool = True,
    ) -> None:
        """Turn a page to the looks in which it is to be measured, to fit or, if pictures are wanted, kept; then back.

        measure: by axe; in the dark only colours, since nothing else differs. fit: no wider than the screen, as
        wherever a page is shown. whole: a picture of the whole page, else of what a visitor has on the screen.
        """
        for key, look in LOOKS.items():
            if key not in {*measure, *fit} and not (self.wanted and key in keep):
                continue
            self._turn(page, look)
            page.evaluate(_SETTLED)
            named = name if key == "desktop" else f"{name}-{key}"
            if key in measure:
                self.faults += [f"{named}: {fault}" for fault in _faults(page, look)]
            if (wider := int(page.evaluate(_WIDER))) > 0:
                self.faults.append(f"{named}: {wider} pixels wider than the screen")
            if self._folder is not None and key in keep:
                self._folder.mkdir(parents=True, exist_ok=True)
                if whole:
                    page.evaluate("() => window.scrollTo(0, 0)")
                    # A picture of more than the screen would be one without fingers.
                    if look.touch:
                        self._turn(page, replace(look, height=page.evaluate(_TALL)))
                page.screenshot(path=self._folder / f"{named}.png", full_page=whole and not look.touch)
        self._turn(page, LOOKS["desktop"])

    def _turn(self, page: Page, look: Look) -> None:
        if page not in self._fingers:
            self._fingers[page] = page.context.new_cdp_session(page)
        page.emulate_media(color_scheme=look.scheme)
        page.set_viewport_size({"width": look.width, "height": look.height})
        self._fingers[page].send("Emulation.setTouchEmulationEnabled", {"enabled": look.touch})


def _faults(page: Page, look: Look) -> list[str]:
    """What axe finds serious or critical, each with the elements that it is about."""
    rules: dict[str, Any] = _COLOURS if look.scheme == "dark" else _RULES
    return [
        f"{violation['id']}: {[node['html'][:200] for node in violation['nodes'][:4]]}"
        for violation in Axe().run(page, options=rules).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
