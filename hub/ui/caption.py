"""What a file is, in the few words below its picture."""

from __future__ import annotations

from hub.media.photo import PhotoInfo
from hub.media.video.clip import ClipInfo
from hub.ui import text
from hub.ui.stage import duration

_HDR_TRANSFERS = (16, 18)  # ITU-T H.273: PQ, HLG


def photo_caption(info: PhotoInfo) -> str:
    """Size, format and depth: `4000 × 3000 · JPEG · 8-bit`."""
    size = text.SIZE.format(width=info.width, height=info.height)
    return " · ".join([size, info.format.upper(), text.BIT_DEPTH.format(bits=info.bit_depth)])


def clip_caption(info: ClipInfo) -> str:
    """Size, length, rate, codec and sound: `768 × 432 · 30.2 s · 12.5 fps · H.264 · with sound`."""
    facts = [text.SIZE.format(width=info.width, height=info.height)]
    if info.seconds:
        facts.append(length(info.seconds))
    if info.rate:
        facts.append(text.RATE.format(rate=f"{float(info.rate):.2f}".rstrip("0").rstrip(".")))
    facts.append(text.CODEC_NAMES.get(info.codec, info.codec.upper()))
    if info.bit_depth > 8:
        facts.append(text.BIT_DEPTH.format(bits=info.bit_depth))
    if info.colour.transfer in _HDR_TRANSFERS:
        facts.append(text.HDR)
    facts.append(sound(info.audio_streams))
    return " · ".join(facts)


def length(seconds: float) -> str:
    """How long a clip is; to the tenth of a second where it is short."""
    return text.SECONDS.format(seconds=f"{seconds:.1f}") if seconds < 60 else duration(seconds)


def sound(streams: int) -> str:
    """How much a clip has to be heard."""
    if streams < 2:
        return text.ONE_SOUND if streams else text.NO_SOUND
    return text.SOUNDS.format(number=streams)
