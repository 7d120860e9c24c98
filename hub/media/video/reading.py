"""Decodes a clip into upright frames with the times that the clip gives them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container.input import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from hub.errors import InvalidInput
from hub.media.video.channel import Channel
from hub.media.video.clip import ClipInfo, Frame
from hub.media.video.counts import Counts
from hub.media.video.geometry import crop_of, turn_of
from hub.media.video.limits import Limits
from hub.media.video.opening import decoder_for, open_clip, stream_seconds
from hub.media.video.pictures import LEAD_IN, Pictures
from hub.media.video.timeline import Timeline

# Formats with an index and times of their own. In others a time may depend on all that came before.
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mxf", "asf", "nut", "flv")
# Of the codecs in AVI files whose frames are not stored in the order of display: how many their decoders hold back.
_REORDERED = {"h264": 16, "hevc": 16, "mpeg1video": 1, "mpeg2video": 1, "mpeg4": 1, "vc1": 1, "wmv3": 1}
# How long before the first wanted frame decoding begins, at least: references and the deinterlacer settle meanwhile.
_RUN_UP_SECONDS = 1
# Where to look for a key frame that early, and where if the first ones are too late.
_SEEK_SECONDS = (1, 4, 15)
# While nothing is delivered, a sign of life is.
_LIFE_SECONDS = 1.0
# A clip that ends this much before its header says is cut off.
_SLACK_SECONDS = 0.5


@dataclass(frozen=True)
class Decoded:
    """A frame as the decoder gave it, and all that was met up to it."""

    frame: VideoFrame
    pts: int
    duration: int | None
    met: Counts


def serve(request: Mapping[str, Any], channel: Channel) -> None:
    """Answer `{"path", "info", "limits", "since", "until", "at", "seek"}` with frames.

    Each frame is `{"frame": {"pts", "duration"}}` and its array, with `"counts"` where they are no longer those of the
    frame before: of all that was met up to this frame, from `since` on. `{"end": {"frames", "counts", "remarks"}}`
    follows the last one; remarks are sentences about the file as a whole. `{"working": true}` comes while frames are
    skipped. Frames of since <= pts < until are delivered, in ticks. With `at` it is only the one that is shown at that
    time.
    """
    info = ClipInfo.from_json(request["info"])
    path, limits = Path(request["path"]), Limits(**request["limits"])
    at, since, until = request["at"], request["since"], request["until"]
    wanted = since if at is None else at
    with ExitStack() as opened:
        container = opened.enter_context(open_clip(path, limits.decoded_pixels))
        key = None
        # A glance at one frame may rely on times that are not exact.
        if wanted is not None and request["seek"] and (at is not None or info.container in _INDEXED):
            key = _key_before(container, info, wanted)
            if key is None:
                container = opened.enter_context(open_clip(path, limits.decoded_pixels))
        reader = Reader(container, info, limits, channel)
        delivered = reader.deliver_span(key, since, until) if at is None else reader.deliver_shown(key, at)
        end = {"frames": delivered, "counts": reader.counts.to_json(), "remarks": reader.remarks}
    if not delivered and wanted is None:
        raise InvalidInput("damaged_video", "No picture of the clip can be decoded. Send an undamaged copy.")
    channel.send({"end": end})


def _key_before(container: InputContainer, info: ClipInfo, wanted: int) -> Packet[Any] | None:
    """The packet of a key frame well before `wanted`, with the container behind it; None where seeking finds none."""
    stream = container.streams[info.stream]
    latest = wanted - round(_RUN_UP_SECONDS / info.time_base)
    for seconds in _SEEK_SECONDS:
        target = wanted - round(seconds / info.time_base)
        if target <= info.start / info.time_base:
            return None
        try:
            container.seek(target, stream=stream)
            for packet in container.demux(stream):
                if packet.pts is None or packet.pts > latest:
                    break
                if packet.is_keyframe:
                    return packet
        except MemoryError:
            raise
        except av.FFmpegError:
            return None
    return None


class Reader:
    """One pass over one clip."""

    def __init__(self, container: InputContainer, info: ClipInfo, limits: Limits, channel: Channel) -> None:
        self._container = container
        self._info = info
        self._limits = limits
        self._channel = channel
        self._stream: VideoStream = container.streams[info.stream]  # type: ignore[assignment]
        for stream in container.streams:
            if stream.index != info.stream:
                stream.discard = Discard.all
        self._decoder = decoder_for(self._stream, limits.decoded_pixels)
        # AVI knows neither the order of display nor how long a frame lasts.
        self._avi = info.container == "avi"
        self._timeline = Timeline(info.time_base, info.rate, by_order=self._avi and info.codec in _REORDERED)
        self._pictures: Pictures | None = None
        self._spoken = time.monotonic()
        self._damaged = 0
        self._patched = 0
        self._broken = False
        # Where decoding came to, and whether that is the end of the file.
        self._end: int | None = None
        self._drained = False
        # What was met up to the frame before the first that was asked for, up to the frame sent last, and as told.
        self._before = self._sent = self._told = Counts()

    def deliver_span(self, key: Packet[Any] | None, since: int | None, until: int | None) -> int:
        """Send the frames of since <= pts < until, decoding from `key` on or from the start; returns how many."""
        sent = 0
        for frame, met in self._converted(_span(self._decoded(key), since, until)):
            if since is not None and frame.pts < since:
                self._before = self._sent = met
            elif until is None or frame.pts < until:
                self._send(frame, met)
                sent += 1
        return sent

    def deliver_shown(self, key: Packet[Any] | None, at: int) -> int:
        """Send the frame that is shown at a time, the first or last one if it is outside the clip; returns 1, or 0."""
        shown: tuple[Frame, Counts] | None = None
        for frame, met in self._converted(_around(self._decoded(key), at)):
            if shown is None or frame.pts <= at:
                shown = frame, met
        if shown is None:
            return 0
        self._send(*shown)
        return 1

    @property
    def counts(self) -> Counts:
        """What was met from the first to the last frame that was asked for."""
        return (self._pictured(self._met()) if self._drained else self._sent) - self._before

    @property
    def remarks(self) -> list[str]:
        """What a person should know about the file as a whole."""
        remark = self._shortfall()
        return [] if remark is None else [remark]

    def _send(self, frame: Frame, met: Counts) -> None:
        message: dict[str, Any] = {"frame": {"pts": frame.pts, "duration": frame.duration}}
        self._sent = met
        counts = met - self._before
        if counts != self._told:
            self._told = counts
            message["counts"] = counts.to_json()
        self._channel.send(message, frame.pixels)
        self._spoken = time.monotonic()

    def _met(self) -> Counts:
        """What decoding met so far."""
        return Counts(
            damaged_packets=self._damaged,
            patched_frames=self._patched,
            made_up_times=self._timeline.made_up,
            moved_times=self._timeline.moved,
            clock_jumps=self._timeline.jumps,
        )

    def _pictured(self, met: Counts) -> Counts:
        """With what was met so far in the pictures themselves, which may come long after they are decoded."""
        pictures = self._pictures
        if pictures is None:
            return met
        return replace(met, resized=pictures.resized, interlaced=pictures.interlaced, other_size=pictures.other_size)

    def _decoded(self, key: Packet[Any] | None) -> Iterator[Decoded]:
        """Decoded frames with their times, from `key` on or from the start."""
        count = 0
        first: int | None = None
        for packet in self._packets(key):
            if time.monotonic() - self._spoken > _LIFE_SECONDS:
                self._channel.send({"working": True})
                self._spoken = time.monotonic()
            for frame in self._decode(packet):
                count += 1
                self._limits.check_size(frame.width, frame.height)
                self._limits.check_frames(count)
                pts = self._timeline.place(frame)
                first = pts if first is None else first
                self._limits.check_seconds(float((pts - first) * self._info.time_base))
                duration = None if self._avi else frame.duration or None
                self._end = pts + (duration or 0)
                self._patched += frame.is_corrupt
                yield Decoded(frame, pts, duration, self._met())
        self._drained = True

    def _packets(self, key: Packet[Any] | None) -> Iterator[Packet[Any] | None]:
        """`key` and all that follows; at the end one that drains the decoder. What makes no sense ends the clip."""
        if key is not None:
            yield key
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    yield packet
        except MemoryError:
            raise
        except av.FFmpegError:
            self._broken = True
        yield None

    def _decode(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        try:
            frames = self._decoder.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError:
            self._damaged += 1
            return []
        if packet is not None:
            holds = _REORDERED.get(self._info.codec, 0) if self._decoder.has_b_frames else 0
            self._timeline.sent(packet, frames=len(frames), holds=holds)
        return frames

    def _converted(self, decoded: Iterator[Decoded]) -> Iterator[tuple[Frame, Counts]]:
        """Finished frames, each with all that was met up to it."""
        waiting: deque[Counts] = deque()
        for item in decoded:
            frame = item.frame
            if self._pictures is None:
                crop = crop_of(self._container, self._info.stream, frame.width, frame.height)
                self._pictures = Pictures(self._info, crop, turn_of(frame))
            finished = list(self._pictures.push(frame, item.pts, item.duration))
            waiting.append(self._pictured(item.met))
            for each in finished:
                yield each, waiting.popleft()
        if self._pictures is not None:
            for each in self._pictures.flush():
                yield each, waiting.popleft()

    def _shortfall(self) -> str | None:
        """A remark for a file that ends before its header says, or in what makes no sense."""
        if self._end is None or not self._drained:
            return None
        seconds, certain = stream_seconds(self._container, self._stream)
        there = max(0.0, float(self._end * self._info.time_base - self._info.start))
        slack = max(_SLACK_SECONDS, float(2 / (self._info.rate or Fraction(25))))
        if seconds is not None and certain and there < seconds - slack:
            return f"The file breaks off: {there:.1f} of its {seconds:.1f} seconds could be read."
        if self._broken:
            return f"The file is damaged: what follows after {there:.1f} seconds could not be read."
        return None


def _span(decoded: Iterator[Decoded], since: int | None, until: int | None) -> Iterator[Decoded]:
    """The frames of a span, with those around it that the deinterlacer looks at."""
    before: deque[Decoded] = deque(maxlen=LEAD_IN)
    for item in decoded:
        if since is not None and item.pts < since:
            before.append(item)
            continue
        yield from before
        before.clear()
        yield item
        if until is not None and item.pts >= until:
            return


def _around(decoded: Iterator[Decoded], at: int) -> Iterator[Decoded]:
    """The frame that is shown at a time, and its neighbours."""
    around: deque[Decoded] = deque(maxlen=LEAD_IN + 1)
    for item in decoded:
        around.append(item)
        if item.pts > at:
            break
    yield from around
