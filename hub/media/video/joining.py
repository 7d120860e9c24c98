"""The child that joins: packets of finished segments, and of the input's other streams, to the result."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from errno import EDQUOT, ENOSPC
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from hub.errors import InvalidInput
from hub.media.video.channel import Channel
from hub.media.video.choosing import Choice
from hub.media.video.clip import ClipInfo
from hub.media.video.codecs import EncodePlan, frame_ticks
from hub.media.video.interleaving import Others
from hub.media.video.opening import open_clip
from hub.media.video.tags import kept_chapters, kept_tags, needs_named_keys
from hub.media.video.timing import DecodingTimes, Window, choose_window, durations, movie_timescale
from hub.media.video.writing import Joined, SegmentInfo

logger = logging.getLogger(__name__)

# What travels along, by FFmpeg's kinds; less if that fails.
_ATTEMPTS: Sequence[tuple[str, ...]] = (("audio", "subtitle", "video", "data", "attachment"), ("audio",), ())

_BEAT_SECONDS = 0.3


def serve(request: Mapping[str, Any], channel: Channel) -> None:
    """Join as the request says.

    Sends `{"progress": share}` a few times per second, `{"closing": bytes}` before a silence, then `{"joined": ...}`.
    """
    join = Join(request, channel)
    for kinds in _ATTEMPTS if request["carry"] else _ATTEMPTS[-1:]:
        try:
            joined = join.run(kinds)
            break
        except MemoryError:
            raise
        except av.FFmpegError as error:
            if error.errno in (ENOSPC, EDQUOT) or not kinds:
                raise
            # Sound or subtitles that no muxer takes must not cost the picture.
            logger.warning("The result is tried again with fewer streams.", exc_info=True)
            join.given_up = str(error.strerror)
    channel.send({"joined": asdict(joined)})


class Join:
    """One result in the making. Times are in the input's clock until a packet goes out."""

    def __init__(self, request: Mapping[str, Any], channel: Channel) -> None:
        self._channel = channel
        self._source = Path(request["source"])
        self._info = ClipInfo.from_json(request["info"])
        self._plan = EncodePlan.from_json(request["plan"])
        self._segments = [(Path(packed["path"]), SegmentInfo.from_json(packed)) for packed in request["segments"]]
        self._output = Path(request["output"])
        self._bounds = (request["start"], request["end"])
        if not self._segments:
            raise InvalidInput("no_frames", "Not a single frame could be restored; send an undamaged clip.")
        tick = self._plan.time_base
        self._first = self._segments[0][1].first_pts * tick
        self._last = self._segments[-1][1].end_pts * tick
        self._told = 0.0
        self._share = 0.0
        # Why an earlier attempt failed.
        self.given_up = ""

    def run(self, kinds: Sequence[str]) -> Joined:
        """Write the result. kinds: of the input's other streams, what travels along."""
        with open_clip(self._source) as source:
            window, notes = self._window(source)
            template = av.open(str(self._segments[0][0]))
            with template, self._open(source, window) as output:
                video = self._add_video(output, template.streams.video[0], source)
                chapters = kept_chapters(source.chapters(), window, self._last)
                output.set_chapters(chapters)
                choice = Choice(source, self._info.stream, kinds, output, window)
                others = Others(source, choice, window, self._tell)
                frames = self._write(output, video, others, window)
                # Closing moves the whole file to make room for the table of contents, without a word meanwhile.
                self._channel.send({"closing": self._output.stat().st_size})
            if self.given_up:
                what = "All but the picture and the sound" if kinds else "All but the picture"
                notes += (f"{what} was left out, because it could not be written ({self.given_up}).",)
            counts = choice.counts
            return Joined(
                frames=frames,
                seconds=float(self._last - self._first),
                bytes=self._output.stat().st_size,
                audio=counts.get("audio", 0),
                subtitles=counts.get("subtitle", 0),
                attachments=counts.get("attachment", 0) + counts.get("video", 0),
                chapters=len(chapters),
                notes=(*notes, *choice.notes, *others.notes),
            )

    def _window(self, source: InputContainer) -> tuple[Window, tuple[str, ...]]:
        return choose_window(source.format.name, self._first, self._last, self._starts(source), self._bounds)

    def _starts(self, source: InputContainer) -> list[Fraction]:
        return [
            stream.start_time * stream.time_base
            for stream in source.streams
            if stream.index != self._info.stream
            and stream.start_time is not None
            and stream.time_base
            and stream.type in ("audio", "video")
            and not stream.disposition & Disposition.attached_pic
        ]

    def _open(self, source: InputContainer, window: Window) -> OutputContainer:
        """The output with its tags."""
        tags = kept_tags(source.metadata)
        options = {}
        if self._plan.container == "matroska":
            options["default_mode"] = "passthrough"
        else:
            flags = "+faststart"
            pictures = any(stream.disposition & Disposition.attached_pic for stream in source.streams)
            # The list of named keys takes the place of the one that holds cover pictures.
            if needs_named_keys(tags) and not pictures:
                flags += "+use_metadata_tags"
            starts = [start + window.shift for start in (self._first, *self._starts(source))]
            options["movflags"] = flags
            options["video_track_timescale"] = str(self._plan.time_base.denominator)
            options["movie_timescale"] = str(movie_timescale(starts))
        output = av.open(str(self._output), "w", format=self._plan.container, container_options=options)
        output.metadata.update(tags)
        return output

    def _add_video(self, output: OutputContainer, template: VideoStream, source: InputContainer) -> VideoStream:
        video = _stream_like(output, template, self._plan)
        restored = source.streams[self._info.stream]
        video.metadata.update(kept_tags(restored.metadata))
        timecode = restored.metadata.get("timecode") or source.metadata.get("timecode")
        if timecode and self._bounds[0] is None:
            video.metadata["timecode"] = timecode
        video.disposition = restored.disposition
        return video

    def _write(self, output: OutputContainer, video: VideoStream, others: Others, window: Window) -> int:
        total = sum(segment.frames for _, segment in self._segments)
        shift = window.shift_ticks(self._plan.time_base)
        frames = 0
        for packet in self._pictures(video):
            now = packet.dts * self._plan.time_base if packet.dts is not None else self._first
            for other in others.until(now + window.shift):
                others.write(output, other)
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            output.mux(packet)
            frames += 1
            self._share = frames / total
            self._tell()
        for other in others.until(None):
            others.write(output, other)
        return frames

    def _pictures(self, video: VideoStream) -> Iterator[Packet[VideoStream]]:
        """The segments' packets, with times in ticks of the clip."""
        tick = self._plan.time_base
        reorder = max(segment.reorder for _, segment in self._segments)
        decoding = DecodingTimes(self._segments[0][1].first_pts, reorder, frame_ticks(self._plan))
        head: bytes | None = None
        for path, segment in self._segments:
            lasting = durations(_times(path, tick), segment.end_pts - segment.first_pts)
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                head = stream.codec_context.extradata if head is None else head
                if stream.codec_context.extradata != head:
                    raise InvalidInput(
                        "segments_differ",
                        "Parts of the clip were encoded by another version of the hub and do not fit together."
                        " Start the task anew.",
                    )
                for packet in container.demux(stream):
                    if packet.pts is None:
                        continue
                    pts = round(packet.pts * packet.time_base / tick)
                    packet.duration = lasting[pts]
                    packet.pts = segment.first_pts + pts
                    packet.dts = decoding.next(packet.pts)
                    packet.time_base = tick
                    packet.stream = video
                    yield packet

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told > _BEAT_SECONDS:
            self._told = now
            self._channel.send({"progress": self._share})


def _stream_like(output: OutputContainer, template: VideoStream, plan: EncodePlan) -> VideoStream:
    """A stream for the packets of the segments, made after the first one's.

    A stream made from a template has no frame rate, which muxers need to write timecode, and a bare one has none of the
    template's parameters. A null filter copies these, from a stream that also knows the shape of pixels, which the
    demuxer keeps where a template does not look.
    """
    with av.open(io.BytesIO(), "w", format=plan.segment_container) as scratch:
        model = scratch.add_stream_from_template(template, opaque=True)
        model.codec_context.codec_tag = template.codec_context.codec_tag
        model.codec_context.sample_aspect_ratio = plan.aspect
        scratch.start_encoding()
        video = output.add_mux_stream(template.codec_context.codec.canonical_name, rate=plan.rate)
        if not isinstance(video, VideoStream):
            raise TypeError("the segments hold no video")
        BitStreamFilterContext("null", in_stream=model, out_stream=video)
    video.time_base = plan.time_base
    return video


def _times(path: Path, tick: Fraction) -> list[int]:
    """The presentation times of a segment's packets, in ticks of the clip, as they are coded."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [round(packet.pts * packet.time_base / tick) for packet in packets if packet.pts is not None]
