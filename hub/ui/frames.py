"""Pictures of a clip's single frames, in the page's cache."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hub.media.video.clip import ClipInfo
from hub.service import Hub, VideoOptions
from hub.ui.cache import PageCache
from hub.video.preview import shown, square_pixels

POSTER_SIDE = 800
_OPENING_SECONDS = 10.0  # Clips often fade in from black: their first second says little.
_FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True)
class Span:
    """Which times of a clip can be looked at, in seconds of presentation time; all that the page remembers of it.

    aspect: width of a pixel by its height. step: how long a frame is shown; 0 where the clip does not tell.
    """

    first: float
    last: float
    aspect: float
    step: float = 0.0

    @classmethod
    def of(cls, info: ClipInfo) -> Span:
        """The span of a clip; one of unknown length is taken for a still picture."""
        first = float(info.start - info.origin)
        step = float(1 / info.rate) if info.rate else 0.0
        last = max(first, first + (info.seconds or 0.0) - step)
        return cls(first, last, float(info.aspect), step)

    @property
    def telling(self) -> float:
        """The second of a frame that shows what the clip is about."""
        return round(self.first + min((self.last - self.first) / 10, _OPENING_SECONDS), 2)

    def clamp(self, seconds: float | None) -> float:
        """The nearest time that the clip has; None, of an emptied field, is `telling`."""
        if seconds is None:
            return self.telling
        return min(max(seconds, self.first), self.last)


def save_poster(hub: Hub, cache: PageCache, path: Path, info: ClipInfo, seconds: float) -> Path:
    """A small JPEG of the frame at a time. Raises HubError."""
    frame = hub.clips.frame_at(path, info, seconds + float(info.origin))
    picture = square_pixels(shown(frame.pixels, POSTER_SIDE), info.aspect)
    return _save(cache.new_file("poster.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])


def save_preview(
    hub: Hub, cache: PageCache, path: Path, span: Span, seconds: float, options: VideoOptions
) -> tuple[Path, Path]:
    """PNGs of the frame at a time, before and after restoration. Raises HubError; takes as long as a photo."""
    before, after = hub.display.preview_frame(path, span.clamp(seconds), options)
    aspect = Fraction(span.aspect).limit_denominator(1000)
    return (
        _save(cache.new_file("before.png"), square_pixels(before, aspect), _FAST_PNG),
        _save(cache.new_file("after.png"), square_pixels(after, aspect), _FAST_PNG),
    )


def _save(path: Path, rgb: NDArray[np.uint8], parameters: list[Any]) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(rgb[..., ::-1]), parameters)[1].tobytes())
    return path
