"""The child that encodes: frames come in, finished segment files go out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from hub.media.video.channel import Channel
from hub.media.video.codecs import EncodePlan, frame_ticks
from hub.media.video.converting import Converter
from hub.media.video.timing import DecodingTimes

# How often the hub is told that the encoder still works off what it holds.
_BEAT_SECONDS = 1.0
# Errors only; it would print a page for every segment.
_SVT_LOG_LEVEL = "1"


def serve(request: Mapping[str, Any], channel: Channel) -> None:
    """Encode what comes: `{"open": path}`, frames with their arrays, `{"close": true}`, and so on, until the end.

    A frame is `{"frame": {"pts", "duration"}}`, in ticks of the clip's time base. A closed segment is answered with
    `{"segment": {"frames", "first_pts", "last_pts", "end_pts", "bytes", "reorder"}}`.
    """
    plan = EncodePlan.from_json(request["plan"])
    converter = Converter(plan)
    segment: Segment | None = None
    while True:
        message, array = channel.receive()
        if "open" in message:
            segment = Segment(plan, Path(message["open"]))
        elif segment is None:
            raise ValueError(f"no segment is open for {sorted(message)}")
        elif "frame" in message:
            if array is None:
                raise ValueError("a frame without its array")
            segment.write(converter, array, message["frame"]["pts"], message["frame"]["duration"])
        else:
            channel.send({"segment": segment.finish(channel)})
            segment = None


class Segment:
    """One segment file with an encoder of its own, so that it stands alone and begins with a key frame."""

    def __init__(self, plan: EncodePlan, path: Path) -> None:
        self._plan = plan
        self._path = path
        self._container = av.open(
            str(path),
            "w",
            format=plan.segment_container,
            container_options={"video_track_timescale": str(plan.time_base.denominator)},
        )
        self._stream = add_video_stream(self._container, plan)
        self._first: int | None = None
        self._last = 0
        self._duration: int | None = None
        self._frames = 0
        self._coded: list[int] = []
        self._decoding = DecodingTimes(0, plan.reorder, frame_ticks(plan))

    def write(self, converter: Converter, array: NDArray[Any], pts: int, duration: int | None) -> None:
        """Encode a frame. pts, duration: in ticks of the clip's time base."""
        if self._first is None:
            self._first = pts
        elif pts <= self._last:
            raise ValueError(f"the frame at {pts} comes after the one at {self._last}")
        frame = converter.convert(array)
        frame.pts, frame.time_base = pts - self._first, self._plan.time_base
        self._mux(self._stream.encode(frame))
        self._last, self._duration = pts, duration
        self._frames += 1

    def finish(self, channel: Channel) -> dict[str, int]:
        """Encode what is held back and close the file; returns what the segment is."""
        if self._first is None:
            raise ValueError("a segment without frames")
        told = time.monotonic()
        for packet in self._stream.encode_lazy(None):
            self._mux([packet])
            if time.monotonic() - told > _BEAT_SECONDS:
                told = time.monotonic()
                channel.send({"held": True})
        self._container.close()
        duration = self._duration or frame_ticks(self._plan)
        return {
            "frames": self._frames,
            "first_pts": self._first,
            "last_pts": self._last,
            "end_pts": self._last + duration,
            "bytes": self._path.stat().st_size,
            "reorder": self._reorder(),
        }

    def _mux(self, packets: Sequence[Packet[VideoStream]]) -> None:
        for packet in packets:
            if packet.pts is None:
                raise ValueError("the encoder gave a packet without a time")
            self._coded.append(packet.pts)
            # x265 makes up wild decoding times for segments of a frame or two.
            packet.dts = self._decoding.next(packet.pts)
            self._container.mux(packet)

    def _reorder(self) -> int:
        """By how many places a frame is coded later than it is shown, at most."""
        ranks = {pts: rank for rank, pts in enumerate(sorted(self._coded))}
        return max(place - ranks[pts] for place, pts in enumerate(self._coded))


def add_video_stream(container: av.container.OutputContainer, plan: EncodePlan) -> VideoStream:
    """Give a file the stream that the plan describes, with its encoder."""
    os.environ["SVT_LOG"] = _SVT_LOG_LEVEL
    stream = container.add_stream(plan.encoder, rate=plan.rate, options=dict(plan.options))
    if not isinstance(stream, VideoStream):
        raise TypeError(f"{plan.encoder} is no video encoder")
    stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, plan.pixel_format
    context = stream.codec_context
    context.time_base = stream.time_base = plan.time_base
    context.sample_aspect_ratio = plan.aspect
    context.color_primaries = plan.colour.primaries
    context.color_trc = plan.colour.transfer
    context.colorspace = plan.colour.matrix
    context.color_range = plan.colour.range
    if plan.codec_tag is not None:
        context.codec_tag = plan.codec_tag
    return stream
