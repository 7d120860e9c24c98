"""Sound that the result's container cannot hold as it is, encoded anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Stream

from hub.media.video.carrying import describe
from hub.media.video.timing import Window

_AAC_BITS_PER_CHANNEL = 96_000
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_GREATEST_RATE = 192_000
_DEFAULT_RATE = 48_000
# Gaps and overlaps from here on are filled or cut, so that sound stays with the picture.
_GAP_SECONDS = "0.02"


@dataclass(frozen=True)
class SoundFormat:
    """What sound is encoded to. encoder, sample_format, layout: FFmpeg's names."""

    encoder: str
    sample_format: str
    rate: int
    layout: str
    bit_rate: int = 0

    @property
    def lossless(self) -> bool:
        """Whether the encoder itself loses nothing."""
        return self.encoder != "aac"

    def configure(self, context: AudioCodecContext) -> None:
        """Tell an encoder."""
        context.format, context.layout, context.sample_rate = self.sample_format, self.layout, self.rate
        context.time_base = Fraction(1, self.rate)
        if self.bit_rate:
            context.bit_rate = self.bit_rate


def choose_sound(source: AudioStream, container: str) -> SoundFormat | None:
    """What to encode a stream to for a container; None where that cannot be done.

    PCM, which browsers do not play in MP4, becomes FLAC there without loss; MOV takes PCM; all else becomes AAC.
    """
    context = source.codec_context
    deep = context.format.bits > 16 or context.format.name.startswith(("flt", "dbl"))
    pcm = source.codec_context.codec.canonical_name.startswith("pcm_")
    layout, channels = context.layout.name, context.layout.nb_channels
    rate = context.sample_rate
    if container == "mov":
        return _working(
            SoundFormat("pcm_s24le" if deep and pcm else "pcm_s16le", "s32" if deep and pcm else "s16", rate, layout)
        )
    if pcm and rate <= _GREATEST_RATE:
        found = _working(SoundFormat("flac", "s32" if deep else "s16", rate, layout))
        if found is not None:
            return found
    rate = rate if rate in _AAC_RATES else _DEFAULT_RATE
    for name in (layout, "stereo" if channels > 1 else "mono"):
        count = av.AudioLayout(name).nb_channels if name == layout else min(2, channels)
        found = _working(SoundFormat("aac", "fltp", rate, name, _AAC_BITS_PER_CHANNEL * max(1, count)))
        if found is not None:
            return found
    return None


def _working(sound: SoundFormat) -> SoundFormat | None:
    """The same, if the encoder takes it."""
    context = CodecContext.create(sound.encoder, "w")
    if not isinstance(context, AudioCodecContext):
        return None
    try:
        sound.configure(context)
        context.open()
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError):
        return None
    return sound


class TranscodedSound:
    """A stream of sound, decoded and encoded."""

    def __init__(self, source: AudioStream, output: OutputContainer, sound: SoundFormat, window: Window) -> None:
        self.source: Stream = source
        self.lost = 0
        self._decoder = source.codec_context
        self._window = window
        self._sound = sound
        target = output.add_stream(sound.encoder, rate=sound.rate)
        if not isinstance(target, AudioStream):
            raise TypeError(f"{sound.encoder} makes no sound")
        self.target: Stream = target
        self._encoder = target.codec_context
        sound.configure(target.codec_context)
        target.time_base = Fraction(1, sound.rate)
        describe(target, source)
        self._resampler: AudioResampler | None = None
        self._last_end: Fraction | None = None
        self._offset = Fraction(0)

    def take(self, packet: Packet[Stream]) -> Iterable[Packet[Stream]]:
        """What the encoder gives for the packet's sound."""
        try:
            frames = self._decoder.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError:
            self.lost += 1
            return
        for frame in frames:
            yield from self._frame(frame)

    def finish(self) -> Iterable[Packet[Stream]]:
        """What decoder, resampler and encoder held back."""
        try:
            frames = self._decoder.decode(None)
        except MemoryError:
            raise
        except av.FFmpegError:
            frames = []
        for frame in frames:
            yield from self._frame(frame)
        if self._resampler is not None:
            for rest in self._resampler.resample(None):
                yield from self._encode(rest)
            yield from self._encode(None)

    def _frame(self, frame: AudioFrame) -> Iterator[Packet[Stream]]:
        length = Fraction(frame.samples, frame.sample_rate)
        if frame.pts is not None and frame.time_base:
            begin = frame.pts * frame.time_base + self._offset
            if self._last_end is not None and begin < self._last_end - 1:  # The clock jumped back.
                self._offset += self._last_end - begin
                begin = self._last_end
        else:
            begin = self._last_end or Fraction(0)
        self._last_end = begin + length
        if self._window.begin is not None and begin + length <= self._window.begin:
            return
        if self._window.end is not None and begin >= self._window.end:
            return
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round((begin + self._window.shift) * frame.sample_rate)
        if self._resampler is None:
            self._resampler = AudioResampler(
                self._sound.sample_format,
                self._sound.layout,
                self._sound.rate,
                self._encoder.frame_size or None,
                {"async": "1", "min_hard_comp": _GAP_SECONDS},
            )
        try:
            resampled = self._resampler.resample(frame)
        except ValueError:
            # The sound changes its format on the way.
            self.lost += 1
            return
        for part in resampled:
            yield from self._encode(part)

    def _encode(self, frame: AudioFrame | None) -> Iterator[Packet[Stream]]:
        for packet in self._encoder.encode(frame):
            packet.stream = self.target
            yield packet
