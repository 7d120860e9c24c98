"""What is read and written without any change in between stays what it was, to within one level."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from hub.media.video.clip import ClipInfo, Colour
from hub.media.video.codecs import plan_encoding
from hub.media.video.converting import Converter
from hub.media.video.geometry import Crop, Turn
from hub.media.video.pictures import Pictures, channels_of, depth_of


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize(
    ("pixel_format", "levels", "codec"),
    [
        ("yuv420p", 1, "h264"),
        ("yuv420p", 2, "h264"),
        ("yuv420p10le", 1, "h265"),
        ("yuv420p10le", 2, "h265"),
        ("yuv422p10le", 1, "prores"),
    ],
)
def test_levels_survive(pixel_format: str, levels: int, codec: str, matrix: int) -> None:
    generator = np.random.default_rng(matrix)
    frame = av.VideoFrame(64, 64, pixel_format)
    depth = depth_of(frame.format)
    dtype = np.uint8 if depth == 8 else np.uint16
    # Colours that RGB can hold, so that nothing is clipped; each a flat picture, so that chroma is not resampled.
    for y, u, v in zip(
        generator.uniform(0.35, 0.65, 20), generator.uniform(0.4, 0.6, 20), generator.uniform(0.4, 0.6, 20), strict=True
    ):
        values = [round(share * ((1 << depth) - 1)) for share in (y, u, v)]
        for plane, value in zip(frame.planes, values, strict=True):
            plane.update(np.full(plane.buffer_size // dtype().itemsize, value, dtype).tobytes())
        info = ClipInfo(
            container="mov,mp4,m4a,3gp,3g2,mj2",
            stream=0,
            codec="h264",
            width=64,
            height=64,
            channels=channels_of(frame.format, frame),
            bit_depth=depth,
            pixel_format=pixel_format,
            time_base=Fraction(1, 25),
            start=Fraction(0),
            seconds=1.0,
            frames=25,
            rate=Fraction(25),
            colour=Colour(1, 1, matrix, levels),
        )
        pictures = Pictures(info, Crop(), Turn())
        (read, *_) = [*pictures.push(frame, 0, None), *pictures.flush()]
        plan = plan_encoding(info, codec, 18)
        written = Converter(plan).convert(read.pixels)
        assert written.format.name == pixel_format
        for plane, value in zip(written.planes, values, strict=True):
            got = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)[:, : plane.width]
            # swscale's chroma of full range is 0.2 % off in 10 bits.
            assert np.abs(got.astype(int) - value).max() <= (2 if depth == 10 and levels == 2 else 1)
