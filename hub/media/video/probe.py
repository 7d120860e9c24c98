"""Reads a clip's header, and its first frame for what only that tells."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container.input import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from hub.errors import InvalidInput, UnsupportedMedia
from hub.media.video.channel import Channel
from hub.media.video.clip import ClipInfo, Colour
from hub.media.video.colours import KNOWN_MATRICES, UNSPECIFIED
from hub.media.video.geometry import crop_of, turn_of
from hub.media.video.limits import Limits
from hub.media.video.mastering import mastering_of
from hub.media.video.opening import decoder_for, open_clip, stream_seconds, video_stream
from hub.media.video.pictures import channels_of, deinterlaces, depth_of

# How much is read in search of a frame that can be decoded.
_MOST_PACKETS = 600
_MOST_BYTES = 256 << 20
_FULL_RANGE = 2
_IDENTITY = 0
# The matrices that can be converted; 12 follows from the primaries, and is one of the others in practice.
_COMPUTED = (_IDENTITY, UNSPECIFIED, *KNOWN_MATRICES, 12)


def serve(request: Mapping[str, Any], channel: Channel) -> None:
    """Answer `{"path", "limits"}` with `{"info": ClipInfo}`."""
    info = probe(Path(request["path"]), Limits(**request["limits"]))
    channel.send({"info": info.to_json()})


def probe(path: Path, limits: Limits) -> ClipInfo:
    """A clip's header.

    Raises UnsupportedMedia (not a clip, no video), InvalidInput (empty, damaged), TooLarge.
    """
    with open_clip(path, limits.decoded_pixels) as container:
        stream = video_stream(container)
        context = stream.codec_context
        limits.check_size(context.width, context.height)
        seconds, _ = stream_seconds(container, stream)
        avi = container.format.name == "avi"
        rate = _rate(stream, guess_first=avi)
        # AVI's header counts ticks; its index counts frames.
        frames = (len(stream.index_entries) if avi else stream.frames) or _product(seconds, rate)
        limits.check_seconds(seconds)
        limits.check_frames(frames)
        decoder = decoder_for(stream, limits.decoded_pixels)
        first, several = _first_frame(container, stream, decoder)
        if container.format.name == "gif" and not several:
            raise UnsupportedMedia("not_a_video", "The file is a photo, not a clip. Send it to process_image.")
        limits.check_size(first.width, first.height)
        info = _info(container, stream, decoder, first, seconds, frames, rate)
        limits.check_bytes(info.width * info.height * info.channels * np.dtype(info.dtype).itemsize)
        return info


def _first_frame(container: InputContainer, stream: VideoStream, decoder: VideoCodecContext) -> tuple[VideoFrame, bool]:
    """The first frame that decodes, and whether there is more than one packet."""
    first: VideoFrame | None = None
    packets = size = 0
    for packet in container.demux(stream):
        packets += packet.size > 0
        size += packet.size
        if first is None:
            try:
                first = next(iter(decoder.decode(packet)), None)
            except MemoryError:
                raise
            except av.FFmpegError:
                continue
        if (first is not None and packets > 1) or packets > _MOST_PACKETS or size > _MOST_BYTES:
            break
    if first is None:
        raise InvalidInput(
            "damaged_video", "No picture of the clip can be decoded: it is damaged. Send an undamaged copy."
        )
    return first, packets > 1


def _info(
    container: InputContainer,
    stream: VideoStream,
    decoder: VideoCodecContext,
    first: VideoFrame,
    seconds: float | None,
    frames: int | None,
    rate: Fraction | None,
) -> ClipInfo:
    picture = first.format
    turn = turn_of(first)
    width, height = turn.size(
        *crop_of(container, stream.index, first.width, first.height).size(first.width, first.height)
    )
    aspect = stream.sample_aspect_ratio or decoder.sample_aspect_ratio or Fraction(1)
    time_base = stream.time_base or Fraction(1, 1000)
    first_time = stream.start_time if stream.start_time is not None else (first.pts or 0)
    colour = _colour(first)
    notes = [turn.note] if turn.note else []
    if colour.matrix not in _COMPUTED:
        notes.append(
            f"The clip's colours are coded in a rare way (matrix {colour.matrix}) that is read as the usual one for its"
            " size; they may be off."
        )
    if first.interlaced_frame:
        if deinterlaces(picture, first.width, first.height):
            notes.append("The clip is interlaced; it is deinterlaced.")
        else:
            notes.append(f"The clip is interlaced, and cannot be deinterlaced: its format is {picture.name}.")
    return ClipInfo(
        container=container.format.name,
        stream=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        width=width,
        height=height,
        channels=channels_of(picture, first),
        bit_depth=depth_of(picture),
        pixel_format=picture.name,
        time_base=time_base,
        start=first_time * time_base,
        seconds=seconds,
        frames=frames,
        rate=rate,
        aspect=1 / aspect if turn.transpose else aspect,
        colour=colour,
        interlaced=first.interlaced_frame,
        turned=bool(turn),
        audio_streams=len(container.streams.audio),
        subtitle_streams=len(container.streams.subtitles),
        mastering=mastering_of(first),
        notes=tuple(notes),
    )


def _colour(frame: VideoFrame) -> Colour:
    """The frame's tags; what its pixel format implies is told as if it were tagged."""
    matrix, levels = int(frame.colorspace), int(frame.color_range)
    name = frame.format.name
    rgb = frame.format.is_rgb or frame.format.has_palette
    grey = name.startswith(("gray", "ya", "mono"))
    if rgb or (matrix == _IDENTITY and not grey):
        matrix = _IDENTITY if rgb else UNSPECIFIED
    if rgb:
        levels = 0
    elif name.startswith("yuvj") or (grey and levels == 0):
        levels = _FULL_RANGE
    return Colour(int(frame.color_primaries), int(frame.color_trc), matrix, levels)


def _rate(stream: VideoStream, *, guess_first: bool) -> Fraction | None:
    """Frames per second. guess_first: the header's average is of no use, and FFmpeg's guess is."""
    rates = [stream.average_rate, stream.guessed_rate]
    return next((rate for rate in (reversed(rates) if guess_first else rates) if rate), None)


def _product(seconds: float | None, rate: Fraction | None) -> int | None:
    return None if seconds is None or rate is None else max(1, round(seconds * rate))
