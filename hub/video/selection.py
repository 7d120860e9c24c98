"""Which frames of a clip `start` and `end` choose."""

from __future__ import annotations

import math
from fractions import Fraction

from hub.errors import InvalidInput
from hub.media.video.clip import ClipInfo
from hub.video.options import VideoOptions


def chosen_ticks(info: ClipInfo, options: VideoOptions) -> tuple[int | None, int | None]:
    """The range of times to restore, in ticks: from the first on, before the second; None is open.

    Raises InvalidInput (`invalid_range`) for a range that lies outside the clip.
    """

    def tick(seconds: float | None) -> int | None:
        # 0.1 as people write it, not the binary fraction beside it, which the frame at 3/30 s would come before.
        return None if seconds is None else math.ceil((Fraction(repr(seconds)) + info.origin) / info.time_base)

    if info.seconds is not None:
        first = float(info.start - info.origin)
        last = first + info.seconds
        if (options.start is not None and options.start >= last) or (options.end is not None and options.end <= first):
            raise InvalidInput(
                "invalid_range",
                f"The clip lasts from {first:g} to {last:g} seconds; start and end must leave a part of that.",
                {"first": first, "last": last},
            )
    return tick(options.start), tick(options.end)


def chosen_seconds(info: ClipInfo, options: VideoOptions) -> float | None:
    """How long the range to restore is; None where the header does not tell."""
    if info.seconds is None:
        return None
    first = float(info.start - info.origin)
    begin = first if options.start is None else max(first, options.start)
    end = first + info.seconds if options.end is None else min(first + info.seconds, options.end)
    return max(0.0, end - begin)


def chosen_frames(info: ClipInfo, options: VideoOptions) -> int | None:
    """About how many frames the range to restore has; exact for a whole clip whose header counts them."""
    if options.start is None and options.end is None:
        return info.frames
    seconds = chosen_seconds(info, options)
    if seconds is None or info.frames is None or not info.seconds:
        return None
    return max(1, round(info.frames * seconds / info.seconds))
