"""Clips that the tests draw themselves, and a decoder to look at them with.

`make_clip(name, ...)` writes a clip with PyAV below the test's folder; its arguments are those of `write_clip`: codec,
pixel format, size, the exact times of the frames, the encoder's options, colour tags, display matrix, AAC sound,
subtitles. Its pictures are `drawn(index, width, height)`: smooth, moving and without any symmetry, so that a wrong
turn, flip or order cannot hide. `clip_decoder` is a ClipDecoder with generous limits; `read_clip(path)` gives the
header, all frames and the notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from hub.media.video.clip import ClipInfo, Colour, Frame
from hub.media.video.decoder import ClipDecoder

MATRICES = {1: "ITU709", 5: "ITU601", 6: "SMPTE170M", 9: "BT2020"}
SOUND_RATE = 48_000


def drawn(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """Picture `index` of any clip: (H, W, 3) RGB."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    rows, columns = rows / height, columns / width
    picture = np.stack([40 + 170 * columns, 60 + 130 * rows, 200 - 90 * rows * columns], axis=-1)
    centre = 0.2 + 0.02 * index
    picture[(rows - 0.3) ** 2 + (columns - centre) ** 2 < 0.02] = (230, 210, 90)
    picture[(rows > 0.75) & (columns < 0.3)] = (30, 120, 60)
    return picture.round().astype(np.uint8)


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    width: int = 128,
    height: int = 96,
    times: Sequence[int] = range(12),
    time_base: Fraction = Fraction(1, 25),
    rate: Fraction = Fraction(25),
    options: Mapping[str, str] | None = None,
    colour: Colour | None = None,
    aspect: Fraction | None = None,
    rotation: int = 0,
    matrix: Sequence[int] | None = None,
    sound: bool = False,
    subtitles: bool = False,
    container: str | None = None,
    container_options: Mapping[str, str] | None = None,
    draw: Callable[[int, int, int], NDArray[Any]] = drawn,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a clip whose frames are shown at `times`, in ticks of `time_base`.

    colour: what the clip is converted with, and tagged with. rotation: degrees counterclockwise. matrix: a whole
    display matrix of nine numbers instead. sound: as much AAC as there is video. subtitles: two lines of text.
    draw: (index, width, height) to RGB or RGBA (H, W, C) uint8, or to another array of the pixel format itself.
    """
    with av.open(path, "w", format=container, options=dict(container_options or {})) as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=rate, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.time_base = stream.codec_context.time_base = time_base
        context = stream.codec_context
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if colour is not None:
            context.color_primaries, context.color_trc = colour.primaries, colour.transfer
            context.colorspace, context.color_range = colour.matrix, colour.range
        if matrix is not None:
            stream.set_display_matrix(matrix)
        elif rotation:
            stream.set_display_rotation(rotation)
        voice = output.add_stream("aac", rate=SOUND_RATE, layout="mono") if sound else None
        lines = None
        if subtitles:
            lines = output.add_mux_stream("mov_text" if path.suffix in (".mp4", ".mov") else "subrip")
            lines.time_base = Fraction(1, 1000)
        for index, time in enumerate(times):
            frame = as_frame(draw(index, width, height), pixel_format, colour)
            frame.pts, frame.time_base = time, time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if voice is not None:
            _add_sound(output, voice, float(max(times) * time_base) + 1 / float(rate))
        if lines is not None:
            _add_lines(output, lines, prefixed=path.suffix in (".mp4", ".mov"))
    return path


def as_frame(picture: NDArray[Any], pixel_format: str, colour: Colour | None = None) -> av.VideoFrame:
    """An array as a frame of this format; RGB and RGBA of 8 bits are converted with the colour's matrix and range."""
    if picture.ndim != 3 or picture.dtype != np.uint8:
        return av.VideoFrame.from_ndarray(picture, format=pixel_format)
    tags = colour or Colour()
    return av.VideoFrame.from_ndarray(picture, format="rgb24" if picture.shape[2] == 3 else "rgba").reformat(
        format=pixel_format,
        dst_colorspace=MATRICES.get(tags.matrix, "SMPTE170M"),
        dst_color_range="JPEG" if tags.range == 2 else "MPEG",
    )


def _add_sound(output: av.container.OutputContainer, voice: Any, seconds: float) -> None:
    total, size = round(seconds * SOUND_RATE), 1024
    for start in range(0, total, size):
        wave = np.sin(np.arange(start, min(total, start + size)) * 0.05).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        output.mux(voice.encode(frame))
    output.mux(voice.encode(None))


def _add_lines(output: av.container.OutputContainer, lines: Any, *, prefixed: bool) -> None:
    for start, text in ((0, b"first line"), (200, b"second line")):
        packet = av.Packet(len(text).to_bytes(2, "big") + text if prefixed else text)
        packet.stream, packet.time_base = lines, Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration = 150
        output.mux(packet)


@dataclass(frozen=True)
class Read:
    """A clip as the decoder gives it."""

    info: ClipInfo
    frames: list[Frame]
    notes: tuple[str, ...]

    @property
    def times(self) -> list[int]:
        return [frame.pts for frame in self.frames]


@pytest.fixture(scope="session")
def clip_decoder() -> Iterator[ClipDecoder]:
    decoder = ClipDecoder(max_pixels=4_000_000, max_seconds=3600, max_frames=100_000, silence=60, memory_bytes=8 << 30)
    yield decoder
    decoder.close()


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """`make_clip("name.mp4", ...)` writes a clip with the arguments of `write_clip`."""

    def make(name: str = "clip.mp4", **options: Any) -> Path:
        return write_clip(tmp_path / name, **options)

    return make


@pytest.fixture(scope="session")
def read_clip(clip_decoder: ClipDecoder) -> Callable[..., Read]:
    """`read_clip(path, since=..., until=...)` reads a clip."""

    def read(path: Path, **span: Any) -> Read:
        info = clip_decoder.probe(path)
        with clip_decoder.read(path, info, **span) as reading:
            frames = list(reading)
        return Read(info, frames, reading.notes)

    return read


@pytest.fixture(scope="session")
def draw() -> Callable[[int, int, int], NDArray[np.uint8]]:
    """`draw(index, width, height)`: what the clips show."""
    return drawn
