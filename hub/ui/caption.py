"""What a file is, in the few words below its picture."""

from __future__ import annotations

from hub.media.photo import PhotoInfo
from hub.media.video.clip import ClipInfo
from hub.ui.language import say
from hub.ui.measures import codec_name, decimal, length

_HDR_TRANSFERS = (16, 18)  # ITU-T H.273: PQ, HLG


def photo_caption(info: PhotoInfo) -> str:
    """Size, format and depth: `4000 × 3000 · JPEG · 8-bit`."""
    size = say("size", width=info.width, height=info.height)
    return " · ".join([size, info.format.upper(), say("bit_depth", bits=info.bit_depth)])


def clip_caption(info: ClipInfo) -> str:
    """Size, length, rate, codec and sound: `768 × 432 · 30.2 s · 12.5 fps · H.264 · with sound`."""
    facts = [say("size", width=info.width, height=info.height)]
    if info.seconds:
        facts.append(length(info.seconds))
    if info.rate:
        facts.append(say("rate", rate=decimal(f"{float(info.rate):.2f}".rstrip("0").rstrip("."))))
    facts.append(codec_name(info.codec))
    if info.bit_depth > 8:
        facts.append(say("bit_depth", bits=info.bit_depth))
    if info.colour.transfer in _HDR_TRANSFERS:
        facts.append(say("hdr"))
    facts.append(sound(info.audio_streams))
    return " · ".join(facts)


def sound(streams: int) -> str:
    """How much a clip has to be heard."""
    if streams < 2:
        return say("one_sound") if streams else say("no_sound")
    return say("sounds", number=streams)
