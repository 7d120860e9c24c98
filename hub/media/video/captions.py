"""Subtitles of text, put into the words that the result's container knows."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import av
from av.codec.context import CodecContext
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from hub.media.video.carrying import describe
from hub.media.video.clocks import Clock
from hub.media.video.timing import Window


class ConvertedSubtitles:
    """Subtitles of text in the words of the result's container."""

    def __init__(self, source: SubtitleStream, output: OutputContainer, encoder: str, window: Window) -> None:
        self.source: Stream = source
        self.lost = 0
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        target = output.add_stream(encoder)
        if not isinstance(target, SubtitleStream):
            raise TypeError(f"{encoder} makes no subtitles")
        self.target: Stream = target
        self._encoder = target.codec_context
        self._encoder.subtitle_header = _header_for(encoder, self._decoder.subtitle_header)
        self._encoder.time_base = Fraction(1, 1000)
        describe(target, source)
        self._window = window
        self._clock = Clock(window, strict=encoder == "mov_text")

    def take(self, packet: Packet[Stream]) -> Iterable[Packet[Stream]]:
        """The subtitle, encoded anew with the packet's times."""
        try:
            shown = self._decoder.decode2(packet)
            if shown is None or not len(shown):
                return []
            encoded = self._encoder.encode_subtitle(shown)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError):
            self.lost += 1
            return []
        encoded.time_base = packet.time_base
        encoded.pts = encoded.dts = packet.pts
        encoded.duration = packet.duration
        if packet.pts is None or not self._visible(encoded):
            return []
        self._clock.place(encoded)
        encoded.stream = self.target
        return [encoded]

    def finish(self) -> Iterable[Packet[Stream]]:
        """Nothing is held back."""
        return []

    def _visible(self, packet: Packet[Stream]) -> bool:
        """Whether the part that is kept shows it; cuts it there."""
        begin, end = (
            (packet.pts or 0) * packet.time_base,
            ((packet.pts or 0) + (packet.duration or 0)) * packet.time_base,
        )
        first = begin if self._window.begin is None else max(begin, self._window.begin)
        last = end if self._window.end is None else min(end, self._window.end)
        packet.pts = packet.dts = round(first / packet.time_base)
        packet.duration = max(0, round(last / packet.time_base) - packet.pts)
        return first < last or (begin == end == first)


def _header_for(encoder: str, header: bytes | None) -> bytes | None:
    """The styles for an encoder: the subtitles' own if it can read them, else those that FFmpeg gives plain text."""
    trial = CodecContext.create(encoder, "w")
    if header is not None and isinstance(trial, SubtitleCodecContext):
        trial.subtitle_header = header
        try:
            trial.open(strict=False)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError):
            pass
        else:
            return header
    plain = CodecContext.create("subrip", "r")
    plain.open(strict=False)
    return plain.subtitle_header if isinstance(plain, SubtitleCodecContext) else None
