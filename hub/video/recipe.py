"""How the segments of one clip are made: decided when the work begins, and kept for as long as it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.metadata import version
from typing import Any

from hub.media.video.clip import ClipInfo
from hub.media.video.codecs import EncodePlan
from hub.media.video.hardware import find_hardware
from hub.video.options import VideoOptions
from hub.video.terms import ClipTerms
from hub.video.tracks import USUAL_RATE, Track, make_tracks

# Changes with the code whenever old segments and new ones would not fit together.
PIPELINE = 1
VERSION = "the version of the hub or its encoders"
# Frames by which a resumed run makes sure that it stands where the interrupted one was; also what warms a smoother up.
MARKS = 8
FEWEST_SEGMENT_FRAMES = 2 * MARKS
MOST_SEGMENT_FRAMES = 240


@dataclass(frozen=True)
class Recipe:
    """What a run needs to know to go on with another one's segments.

    wanted: what was asked for and of what, by the words that people know; if that changes, the work begins anew.
    tracks, segment_frames, tile, overlap, max_tile_pixels: as the machine and the settings were when it began; later
    changes of those do not matter. shrinks: how often memory ran out.
    """

    wanted: Mapping[str, Any]
    tracks: Mapping[str, Track]
    segment_frames: int
    tile: int | None
    overlap: int
    max_tile_pixels: int
    shrinks: int = 0

    @classmethod
    def make(cls, info: ClipInfo, options: VideoOptions, terms: ClipTerms, weights: Any) -> Recipe:
        """The recipe of work that begins now. Raises InvalidInput for what the codec cannot hold."""
        return cls(
            wanted=wanted(info, options, weights),
            tracks=make_tracks(info, options, hardware=terms.hardware),
            segment_frames=segment_frames(info, terms),
            tile=terms.tile,
            overlap=terms.overlap,
            max_tile_pixels=terms.max_tile_pixels,
        )

    @property
    def encodes_here(self) -> bool:
        """Whether the encoders work: those of graphics hardware may have gone since the work began."""
        plans = [track.plan for track in self.tracks.values()]
        return all(plan.hardware in (None, find_hardware(plan.codec)) for plan in plans)

    def to_json(self) -> dict[str, Any]:
        """The recipe in JSON types."""
        tracks = {name: {**asdict(track), "plan": track.plan.to_json()} for name, track in self.tracks.items()}
        return {**asdict(self), "tracks": tracks}

    @classmethod
    def from_json(cls, packed: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_json` packed."""
        tracks = {
            name: Track(EncodePlan.from_json(track["plan"]), track["original"])
            for name, track in packed["tracks"].items()
        }
        return cls(**{**packed, "tracks": tracks})


def segment_frames(info: ClipInfo, terms: ClipTerms) -> int:
    """How many frames a segment has. The last one may have fewer."""
    frames = round((info.rate or USUAL_RATE) * Fraction(terms.segment_seconds))
    return min(max(FEWEST_SEGMENT_FRAMES, frames), MOST_SEGMENT_FRAMES)


def differences(stored: Mapping[str, Any], recipe: Recipe) -> tuple[str, ...]:
    """What another recipe, in JSON and perhaps of another version, wanted otherwise, in words."""
    before, now = stored.get("wanted", {}), recipe.wanted
    if before.get(VERSION) != now[VERSION]:
        return (VERSION,)
    return tuple(name for name in now if before.get(name) != now[name])


def wanted(info: ClipInfo, options: VideoOptions, weights: Any) -> dict[str, Any]:
    """What is asked for and of what, by the words that people know; JSON types."""
    return {
        "the clip": info.to_json(),
        "the model": options.model_name,
        "the model's weights or how they are run": weights,
        "the strength": options.strength,
        "the codec": options.codec,
        "the quality": options.quality,
        "the smoothing over time": options.smooths,
        "the start": options.start,
        "the end": options.end,
        "the copies for the page": options.display,
        VERSION: [PIPELINE, version("av")],
    }
