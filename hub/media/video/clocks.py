"""Times of packets that travel along: moved, rising, and in whole samples."""

from __future__ import annotations

import math
import re
import struct
from fractions import Fraction

from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream

from hub.media.video.timing import Window

_SECOND = Fraction(1)
# Two times, each off by half a tick, and some for what has added up.
_ROUNDINGS = Fraction(3, 2)


class Clock:
    """Moves a stream's packets to the result's time and sees to it that their decoding times rise.

    strict: whether each must be later than the one before, as MP4 wants it.
    Where the input's clock jumps back by more than a second, what follows is moved behind what came before.
    """

    def __init__(self, window: Window, *, strict: bool) -> None:
        self._window = window
        self._step = 1 if strict else 0
        self._offset = 0
        self._last: int | None = None
        self._end = 0

    def place(self, packet: Packet[Stream]) -> bool:
        """Set the packet's times; whether it has any."""
        pts, dts = packet.pts, packet.dts
        if pts is None:
            pts = dts
        if dts is None:
            dts = pts
        if pts is None or dts is None:
            return False
        move = self._window.shift_ticks(packet.time_base) + self._offset
        pts, dts = pts + move, dts + move
        if self._last is not None:
            if dts < self._last - round(_SECOND / packet.time_base):
                self._offset += self._end - dts
                pts, dts = pts + self._end - dts, self._end
            if dts < self._last + self._step:
                dts = self._last + self._step
                pts = max(pts, dts)
        packet.pts, packet.dts = pts, dts
        self._last, self._end = dts, dts + (packet.duration or 1)
        return True


class EvenSteps:
    """Restates the times of sound in samples where the input's clock is coarser than that, as Matroska's is.

    Rounding to milliseconds would make sound begin up to half of one too late or too early, and its packets overlap.
    """

    def __init__(self, source: Stream) -> None:
        context = source.codec_context
        rate, self._samples = getattr(context, "sample_rate", 0), getattr(context, "frame_size", 0)
        self._bytes = _bytes_per_sample(source)
        self._sample = Fraction(1, rate) if rate else None
        self._coarse = self._sample is not None and source.time_base is not None and source.time_base > self._sample
        self._expected: int | None = None

    def smooth(self, packet: Packet[Stream]) -> None:
        """Set the packet's times: right after the packet before, where that is what was meant."""
        if not self._coarse or self._sample is None or packet.pts is None:
            return
        tick = packet.time_base
        skipped = _skipped(packet)
        # The decoder's delay was rounded before it was taken off the time at which the sound begins.
        delay = math.floor(skipped * self._sample / tick + Fraction(1, 2))
        meant = (packet.pts + delay) * tick - skipped * self._sample
        if self._expected is None or abs(self._expected * self._sample - meant) > _ROUNDINGS * tick:
            self._expected = round(meant / self._sample)
        samples = self._samples or round((packet.duration or 0) * tick / self._sample)
        if self._bytes:
            samples = packet.size // self._bytes
        packet.time_base = self._sample
        packet.pts = packet.dts = self._expected
        packet.duration = samples
        self._expected += samples


def _bytes_per_sample(source: Stream) -> int:
    """Bytes that one moment of all channels takes in PCM; 0 for other codecs."""
    if not isinstance(source, AudioStream) or not source.codec_context.codec.canonical_name.startswith("pcm_"):
        return 0
    bits = re.search(r"\d+", source.codec_context.codec.canonical_name)
    return (int(bits.group()) // 8 if bits else 1) * source.codec_context.layout.nb_channels


def _skipped(packet: Packet[Stream]) -> int:
    """How many samples at the packet's begin are not to be heard."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    skipped: int = struct.unpack("<I", bytes(packet.get_sidedata("skip_samples"))[:4])[0]
    return skipped
