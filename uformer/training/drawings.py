"""Drawn pages: text and line art as masks, from which crops are cut and coloured."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
_LETTERS = "".join(map(chr, range(33, 127)))
_EIGHTH = 3  # OpenCV's `shift`: coordinates in eighths of a pixel, so that edges fall between pixels.

Page = NDArray[np.uint8]


def draw_pages(count: int, side: int, random: np.random.Generator) -> Page:
    """(count, side, side) coverage, 0 to 255, edges smooth: half of the pages text, half line art."""
    pages = np.zeros((count, side, side), np.uint8)
    for index, page in enumerate(pages):
        (_write if index % 2 else _draw)(page, random)
    return pages


def _write(page: Page, random: np.random.Generator) -> None:
    """Lines of random letters, some sizes to a page."""
    top = 0
    while top < len(page):
        scale = float(np.exp(random.uniform(np.log(0.3), np.log(2.5))))
        font, thickness = int(random.choice(_FONTS)), int(random.integers(1, 2 + round(2 * scale)))
        words = "".join(random.choice(list(_LETTERS + 12 * " "), 120))
        top += int(30 * scale + random.integers(4, 12))
        left = -int(random.integers(0, 40))
        cv2.putText(page, words, (left, top), font, scale, 255, thickness, cv2.LINE_AA)


def _draw(page: Page, random: np.random.Generator) -> None:
    """Strokes, outlines and filled shapes, one over another; some are erased."""
    side = len(page)
    for _ in range(int(random.integers(15, 60))):
        points = random.integers(0, side << _EIGHTH, (int(random.integers(2, 6)), 2))
        centre, size = points[0], random.integers(1 << _EIGHTH, (side // 4) << _EIGHTH, 2)
        colour = int(random.choice([255, 255, 0]))
        filled = random.random() < 0.3
        width = -1 if filled else int(random.integers(1, 5))
        kind = random.integers(4)
        if kind == 0:
            stroke = max(width, 1)
            cv2.polylines(page, [points[:, None].astype(np.int32)], False, colour, stroke, cv2.LINE_AA, _EIGHTH)
        elif kind == 1:
            turn = random.uniform(0, 360)
            cv2.ellipse(page, centre.tolist(), size.tolist(), turn, 0, 360, colour, width, cv2.LINE_AA, _EIGHTH)
        elif kind == 2:
            cv2.rectangle(page, centre.tolist(), (centre + size).tolist(), colour, width, cv2.LINE_AA, _EIGHTH)
        else:
            start = random.uniform(0, 360)
            cv2.ellipse(page, centre.tolist(), size.tolist(), 0, start, start + 120, colour, 2, cv2.LINE_AA, _EIGHTH)
