"""What is encoded of a clip: its result, and what the page plays beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from hub.media.video.clip import ClipInfo
from hub.media.video.codecs import EncodePlan, needed_bytes, plan_encoding
from hub.media.video.hardware import find_hardware
from hub.video.options import VideoOptions
from hub.video.selection import chosen_frames, chosen_seconds

RESULT = "result"
BEFORE = "before"
AFTER = "after"
# Codecs in MP4 that browsers play; of others the page shows a copy.
PLAYABLE = frozenset({"h264", "av1", "vp9"})
SHOWN_QUALITY = 23
# Codecs whose files are about as large whatever the picture shows.
STEADY = frozenset({"prores", "lossless"})
# How many times its size a clip may become by being coded anew; noisy ones at a better quality do.
REENCODED = 3
USUAL_RATE = Fraction(25)


@dataclass(frozen=True)
class Track:
    """One encoding of the clip that is made: of the restored frames, or of the original ones."""

    plan: EncodePlan
    original: bool = False


def make_tracks(info: ClipInfo, options: VideoOptions, *, hardware: bool) -> dict[str, Track]:
    """What is to be encoded of a clip, the result first. Raises InvalidInput for what the codec cannot hold.

    hardware: whether graphics hardware that works is to encode the result.
    """
    kind = find_hardware(options.codec) if hardware else None
    tracks = {RESULT: Track(plan_encoding(info, options.codec, options.quality, hardware=kind))}
    if options.display:
        shown = plan_encoding(info, "h264", SHOWN_QUALITY)
        tracks[BEFORE] = Track(shown, original=True)
        if options.codec not in PLAYABLE:
            tracks[AFTER] = Track(shown)
    return tracks


def needed_space(info: ClipInfo, options: VideoOptions, tracks: Mapping[str, Track], source_bytes: int) -> int:
    """About how many bytes restoring takes: every track in segments and then joined, the clip's sound beside it.

    No more than so strong a noise as there can be takes, nor than coding anew what the clip's own bytes hold. What the
    first segments really take corrects this while the work goes on.
    """
    frames = chosen_frames(info, options)
    seconds = chosen_seconds(info, options)
    if frames is None:
        frames = math.ceil((seconds or 0.0) * (info.rate or USUAL_RATE))
    part = min(1.0, seconds / info.seconds) if seconds is not None and info.seconds else 1.0
    needed = 0
    for track in tracks.values():
        size = needed_bytes(track.plan, frames)
        if track.plan.codec not in STEADY:
            size = min(size, math.ceil(REENCODED * part * source_bytes))
        needed += 2 * size
    return source_bytes + needed
