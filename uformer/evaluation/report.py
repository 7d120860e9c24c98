"""What an evaluation leaves behind: a table in Markdown, and a strip of crops to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from uformer.evaluation.samples import Sample
from uformer.evaluation.scores import Score

Pixels = NDArray[np.uint8]
CROP = 192
_GAP = 4
_LABEL = 20


def table(scores: Mapping[str, Mapping[str, Score]]) -> str:
    """A row for each series, a column for each method: PSNR in dB / SSIM, means over the photos."""
    methods = list(next(iter(scores.values())))
    lines = [f"| | photos | {' | '.join(methods)} |", f"|---|---{'|---' * len(methods)}|"]
    for series, row in scores.items():
        cells = [f"{psnr:.2f} / {ssim:.4f}" for psnr, ssim in (row[method].means for method in methods)]
        lines.append(f"| {series} | {len(row[methods[0]].psnr)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


class Strip:
    """One row of crops for each series, of its first photo: what each method made of it, and the truth."""

    def __init__(self) -> None:
        self._rows: list[Pixels] = []
        self._shown: set[str] = set()

    def first_of(self, series: str) -> Callable[[Sample, Mapping[str, Pixels]], None]:
        """What takes the samples of a series, of which it keeps the first one's crops."""

        def see(sample: Sample, made: Mapping[str, Pixels]) -> None:
            if series not in self._shown:
                self._shown.add(series)
                self._rows.append(_row(series, sample, made))

        return see

    def write(self, path: Path) -> None:
        """As PNG. Raises OSError."""
        width = max(row.shape[1] for row in self._rows)
        rows = [_padded(row, row.shape[0], width) for row in self._rows]
        encoded = cv2.imencode(".png", np.ascontiguousarray(np.concatenate(rows)[..., ::-1]))[1]
        path.write_bytes(encoded.tobytes())


def _row(series: str, sample: Sample, made: Mapping[str, Pixels]) -> Pixels:
    top, left = _busiest(sample.true)
    cells: list[Pixels] = []
    for name, picture in {**made, "truth": sample.true}.items():
        crop = picture[top : top + CROP, left : left + CROP]
        cell = np.full((_LABEL + CROP + _GAP, CROP + _GAP, 3), 255, np.uint8)
        cell[_LABEL : _LABEL + crop.shape[0], : crop.shape[1]] = crop
        words = f"{series}: {name}" if not cells else name
        cv2.putText(cell, words, (2, _LABEL - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        cells.append(cell)
    return np.concatenate(cells, 1)


def _padded(row: Pixels, height: int, width: int) -> Pixels:
    """White to the right and below."""
    grown = np.full((height, width, 3), 255, np.uint8)
    grown[: row.shape[0], : row.shape[1]] = row
    return grown


def _busiest(photo: Pixels) -> tuple[int, int]:
    """Top and left of the crop with the most detail."""
    detail = cv2.Laplacian(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.CV_64F)
    sums = cv2.integral(np.abs(detail))
    high, wide = (min(side, CROP) for side in photo.shape[:2])
    inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(top), int(left)
