"""Lengths of time, sizes and codecs as people say them."""

from __future__ import annotations

from hub.ui.language import known, say

_CODECS = {
    "h264": "H.264",
    "hevc": "H.265",
    "h265": "H.265",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "prores": "ProRes",
    "ffv1": "FFV1",
    "mpeg1video": "MPEG-1",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4",
    "mjpeg": "Motion JPEG",
    "dvvideo": "DV",
    "dnxhd": "DNxHD",
}


def decimal(number: str) -> str:
    """A number as Python writes it, with the decimal sign of the language."""
    return number.replace(".", say("decimal_point"))


def duration(seconds: float) -> str:
    """Seconds in the two largest units that matter."""
    whole = max(1, round(seconds))
    if whole < 60:
        return say("seconds", seconds=whole)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        if whole < 600 and rest:
            return say("minutes_seconds", minutes=minutes, seconds=rest)
        return say("minutes", minutes=minutes)
    hours, minutes = divmod(whole // 60, 60)
    return say("hours_minutes", hours=hours, minutes=minutes) if minutes else say("hours", hours=hours)


def length(seconds: float) -> str:
    """How long a clip is; to the tenth of a second where it is short."""
    return say("seconds", seconds=decimal(f"{seconds:.1f}")) if seconds < 60 else duration(seconds)


def file_size(size: int) -> str:
    """Bytes in thousands or millions."""
    if size < 100_000:
        return say("kilobytes", size=max(1, round(size / 1e3)))
    return say("megabytes", size=decimal(f"{size / 1e6:.1f}"))


def codec_name(codec: str) -> str:
    """A codec's name for people; of one that has none, as FFmpeg calls it."""
    key = f"codec_name_{codec}"
    return say(key) if known(key) else _CODECS.get(codec, codec.upper())
