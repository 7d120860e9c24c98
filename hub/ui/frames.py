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
from hub.video.preview import shown

POSTER_SIDE = 800
_OPENING_SECONDS = 10.0  # Clips often fade in from black: their first second says little.
_FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True)
class Span:
    """Which times of a clip can be looked at, in seconds of presentation time; all that the page remembers of it.

    origin: what the clip's clock shows at second 0. aspect: width of a pixel by its height.
    """

    first: float
    last: float
    origin: float
    aspect: float

    @classmethod
    def of(cls, info: ClipInfo) -> Span:
        """The span of a clip; one of unknown length is taken for a still picture."""
        first = float(info.start - info.origin)
        step = float(1 / info.rate) if info.rate else 0.0
        last = max(first, first + (info.seconds or 0.0) - step)
        return cls(first, last, float(info.origin), float(info.aspect))

    @property
    def telling(self) -> float:
        """The second of a frame that shows what the clip is about."""
        return round(self.first + min((self.last - self.first) / 10, _OPENING_SECONDS), 2)

    def clamp(self, seconds: float) -> float:
        """The nearest time that the clip has."""
        return min(max(seconds, self.first), self.last)


def save_poster(hub: Hub, cache: PageCache, path: Path, info: ClipInfo, seconds: float) -> Path:
    """A small JPEG of the frame at a time. Raises HubError."""
    frame = hub.clips.frame_at(path, info, seconds + float(info.origin))
    picture = _stretched(shown(frame.pixels, POSTER_SIDE), float(info.aspect))
    return _save(cache.new_file("poster.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])


def save_preview(
    hub: Hub, cache: PageCache, path: Path, span: Span, seconds: float, options: VideoOptions
) -> tuple[Path, Path]:
    """PNGs of the frame at a time, before and after restoration. Raises HubError; takes as long as a photo."""
    before, after = hub.preview_frame(path, span.clamp(seconds) + span.origin, options)
    return (
        _save(cache.new_file("before.png"), _stretched(before, span.aspect), _FAST_PNG),
        _save(cache.new_file("after.png"), _stretched(after, span.aspect), _FAST_PNG),
    )


def _stretched(picture: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """The picture with square pixels, as players show it; never smaller."""
    ratio = Fraction(aspect).limit_denominator(1000)
    height, width = picture.shape[:2]
    size = (round(width * ratio), height) if ratio >= 1 else (width, round(height / ratio))
    if size == (width, height):
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _save(path: Path, rgb: NDArray[np.uint8], parameters: list[Any]) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(rgb[..., ::-1]), parameters)[1].tobytes())
    return path
