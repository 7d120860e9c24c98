"""Small clips, made as the tests need them."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np

WIDTH, HEIGHT = 128, 96
RATE = Fraction(10)


def clip(frames: int = 10, *, scale: int = 1, tall: int = 1, rate: Fraction = RATE, sound: bool = True) -> bytes:
    """An MP4 file: H.264 of 128x96 times `scale`, `tall` of them on top of each other, noise over an edge; AAC."""
    chance = np.random.default_rng(0)
    height, width = HEIGHT * scale * tall, WIDTH * scale
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        picture = container.add_stream("h264", rate=rate, options={"preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        voice = container.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for number in range(frames):
            pixels = np.full((HEIGHT, WIDTH, 3), 60.0)
            pixels[:, 8 * number % WIDTH :] = 180
            pixels += chance.normal(0, 20, pixels.shape)
            pattern = np.tile(pixels.clip(0, 255).astype(np.uint8), (scale * tall, scale, 1))
            frame = av.VideoFrame.from_ndarray(pattern, format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if voice is not None:
            container.mux(hum(voice, frames / float(rate)))
            container.mux(voice.encode(None))
    return file.getvalue()


def sound_alone() -> bytes:
    """An MP4 file without any picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        voice = container.add_stream("aac", rate=48_000, layout="mono")
        container.mux(hum(voice, 0.5))
        container.mux(voice.encode(None))
    return file.getvalue()


def hum(stream: av.AudioStream, seconds: float) -> list[av.Packet]:
    """Packets of a low tone."""
    tone = 0.2 * np.sin(np.arange(int(seconds * 48_000), dtype=np.float32) / 50)
    frame = av.AudioFrame.from_ndarray(tone[None, :].astype(np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
    return stream.encode(frame)


def times(content: bytes) -> list[float]:
    """Presentation times of a clip's frames, in seconds."""
    with av.open(io.BytesIO(content)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def sound(content: bytes) -> list[bytes]:
    """The packets of a clip's sound."""
    with av.open(io.BytesIO(content)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
