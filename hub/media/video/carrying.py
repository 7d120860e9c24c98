"""Streams of the input that travel along to the result, packet by packet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Stream

from hub.media.video.clocks import Clock, EvenSteps
from hub.media.video.tags import kept_tags
from hub.media.video.timing import Window

# Sound before the cut that a decoder needs to get going, in packets; players hide what lies before 0.
_LEAD_IN_PACKETS = 2
# FFmpeg knows the languages of MOV by older codes.
_MOV_LANGUAGES = {"deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb"}


class Carried(Protocol):
    """One stream on its way.

    source: the input's. target: the result's. lost: packets that could not be read or written.
    """

    source: Stream
    target: Stream
    lost: int

    def take(self, packet: Packet[Stream]) -> Iterable[Packet[Stream]]:
        """The packets for the result that come of one of the input's."""

    def finish(self) -> Iterable[Packet[Stream]]:
        """The packets that were held back."""


class Copied:
    """A stream whose packets are copied as they are."""

    def __init__(self, source: Stream, output: OutputContainer, window: Window) -> None:
        self.source = source
        self.lost = 0
        self.target = output.add_stream_from_template(source, opaque=True)
        describe(self.target, source)
        self._window = window
        matroska = output.format.name == "matroska"
        self._clock = Clock(window, strict=not matroska)
        self._sound = source.type == "audio"
        # Matroska cannot hide what lies before 0.
        self._lead_in = 0 if matroska else _LEAD_IN_PACKETS
        self._matroska = matroska
        self._even = EvenSteps(source) if self._sound and not matroska else None

    def take(self, packet: Packet[Stream]) -> Iterable[Packet[Stream]]:
        """The packet with its new times, if it belongs to the part that is kept."""
        if self._even is not None:
            self._even.smooth(packet)
        if not self._kept(packet):
            return []
        if not self._clock.place(packet):
            self.lost += 1
            return []
        packet.stream = self.target
        return [packet]

    def finish(self) -> Iterable[Packet[Stream]]:
        """Nothing is held back."""
        return []

    def _kept(self, packet: Packet[Stream]) -> bool:
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None:
            return True
        window, duration = self._window, packet.duration or 0
        if window.end is not None and time * packet.time_base >= window.end:
            return False
        if window.begin is None:
            return True
        if self._sound and self._matroska:
            return time * packet.time_base >= window.begin
        if (time + duration * (1 + self._lead_in * self._sound)) * packet.time_base <= window.begin:
            return False
        if not self._sound and time * packet.time_base < window.begin:
            # A subtitle that is shown when the part begins.
            begin = round(window.begin / packet.time_base)
            packet.duration = time + duration - begin
            packet.pts = packet.dts = begin
        return True


class CoverArt:
    """A picture that stands for the clip; one packet without a time."""

    def __init__(self, source: Stream, output: OutputContainer) -> None:
        self.source = source
        self.lost = 0
        self.target = output.add_stream_from_template(source, opaque=True)
        describe(self.target, source)
        self._done = False

    def take(self, packet: Packet[Stream]) -> Iterable[Packet[Stream]]:
        """The picture, once."""
        if self._done:
            return []
        self._done = True
        packet.pts = packet.dts = 0
        packet.stream = self.target
        return [packet]

    def finish(self) -> Iterable[Packet[Stream]]:
        """Nothing is held back."""
        return []


def describe(target: Stream, source: Stream) -> None:
    """Give a stream of the result the tags and roles of the input's."""
    tags = kept_tags(source.metadata)
    if target.container.format.name == "mov" and "language" in tags:
        tags["language"] = _MOV_LANGUAGES.get(tags["language"], tags["language"])
    target.metadata.update(tags)
    target.disposition = source.disposition
