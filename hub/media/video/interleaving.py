"""The packets of all streams that travel along, in the order in which the result wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from hub.media.video.choosing import Choice, name_of
from hub.media.video.timing import Window

# How far behind the picture other streams may lie in the file before what follows the end of the part is not looked at.
_INTERLEAVING_SECONDS = 30


class Others:
    """The packets of the input's other streams, in the order of the file.

    Packets that cannot be read or written are left out and counted.
    alive: called for every packet that is read.
    """

    def __init__(self, source: InputContainer, choice: Choice, window: Window, alive: Callable[[], None]) -> None:
        self._alive = alive
        self._carried = {carried.source.index: carried for carried in choice.carried}
        for stream in source.streams:
            if stream.index not in self._carried and stream.discard != Discard.all:
                stream.discard = Discard.all
        self._window = window
        self._broken = False
        self._coming = self._packets(source)
        self._next: Packet[Stream] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be carried over."""
        lost = [
            f"{carried.lost} damaged packets of {name_of(carried.source)} were left out."
            for carried in self._carried.values()
            if carried.lost
        ]
        if self._broken:
            lost.append("The file is damaged: sound and subtitles were carried over up to where it breaks off.")
        return tuple(lost)

    def until(self, moment: Fraction | None) -> Iterator[Packet[Stream]]:
        """The packets that are decoded before a moment of the result, in seconds; all that are left for None."""
        while True:
            if self._next is None:
                self._next = next(self._coming, None)
            packet = self._next
            if packet is None:
                return
            time = packet.dts if packet.dts is not None else packet.pts
            if moment is not None and time is not None and time * packet.time_base > moment:
                return
            self._next = None
            yield packet

    def write(self, output: OutputContainer, packet: Packet[Stream]) -> None:
        """Write a packet, or leave it out where the muxer does not take it."""
        try:
            output.mux(packet)
        except (av.error.InvalidDataError, av.error.ArgumentError):
            for carried in self._carried.values():
                carried.lost += carried.target is packet.stream

    def _packets(self, source: InputContainer) -> Iterator[Packet[Stream]]:
        if not self._carried:
            return
        streams = [carried.source for carried in self._carried.values()]
        packets = source.demux(streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except MemoryError:
                raise
            except av.FFmpegError:
                self._broken = True
                break
            self._alive()
            if not packet.size:
                continue
            if self._past_the_end(packet):
                break
            yield from self._carried[packet.stream_index].take(packet)
        for carried in self._carried.values():
            yield from carried.finish()

    def _past_the_end(self, packet: Packet[Stream]) -> bool:
        if self._window.end is None or packet.dts is None:
            return False
        return packet.dts * packet.time_base > self._window.end + _INTERLEAVING_SECONDS
