"""Tags and chapters of the input, as the result is to have them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from hub.media.video.timing import Window

if TYPE_CHECKING:  # A type that the module itself does not have.
    from av.container.core import Chapter

# What says how the input was stored, not what it shows; muxers write their own.
_STORAGE = frozenset(
    {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "vendor_id",
        "rotate",
        "duration",
        "alpha_mode",
        "bps",
        "number_of_frames",
        "number_of_bytes",
        "timecode",
        "source_id",
    }
)
_QUICKTIME = "com.apple.quicktime."
_STORAGE_PREFIXES = ("_statistics", "bps-", "number_of_", "variant_bitrate")
# What iTunes' list in MP4 can hold, as FFmpeg names it; all else needs QuickTime's list of named keys instead.
_ITUNES = frozenset(
    {
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "grouping",
        "lyrics",
        "description",
        "synopsis",
        "show",
        "episode_id",
        "network",
        "keywords",
        "episode_sort",
        "season_number",
        "media_type",
        "hd_video",
        "gapless_playback",
        "compilation",
        "track",
        "disc",
        "tmpo",
        "creation_time",
    }
)


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a container or stream that still hold for the result; common names in lower case, as MP4 has them."""
    return {
        name.lower() if name.lower() in _ITUNES or name.lower().startswith(_QUICKTIME) else name: value
        for name, value in tags.items()
        if value and name.lower() not in _STORAGE and not name.lower().startswith(_STORAGE_PREFIXES)
    }


def needs_named_keys(tags: Mapping[str, str]) -> bool:
    """Whether MP4 can hold these tags only in QuickTime's list of named keys."""
    return any(name.lower() not in _ITUNES for name in tags)


def kept_chapters(chapters: list[Chapter], window: Window, last: Fraction) -> list[Chapter]:
    """The chapters of the part that is kept. last: when the restored frames end, in the input's time."""
    kept: list[Chapter] = []
    for number, chapter in enumerate(chapters):
        time_base = chapter["time_base"] or Fraction(1)
        begin, end = chapter["start"] * time_base, chapter["end"] * time_base
        if end <= begin:  # Open: until the next one.
            following = chapters[number + 1] if number + 1 < len(chapters) else None
            end = last if following is None else following["start"] * (following["time_base"] or Fraction(1))
        begin = begin if window.begin is None else max(begin, window.begin)
        end = end if window.end is None else min(end, window.end)
        begin = max(begin + window.shift, Fraction(0))
        end += window.shift
        if begin < end:
            kept.append(
                {
                    "id": number + 1,
                    "start": round(begin / time_base),
                    "end": round(end / time_base),
                    "time_base": time_base,
                    "metadata": chapter["metadata"],
                }
            )
    return kept
