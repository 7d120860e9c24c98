"""Arrays to the frames that an encoder takes: padding, RGB to YUV, bit depth."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from hub.media.video.codecs import EncodePlan

# Chroma is averaged from all pixels, not from every second one, and results are rounded, not cut.
_SCALE_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
# What swscale takes for the white of 16-bit RGB when it makes limited range: 255 x 256, and 3 from rounding.
_LIMITED_WHITE = 65283
_RGB, _FULL = 0, 2
_PACKED = {("uint8", 3): "rgb24", ("uint8", 4): "rgba", ("uint16", 3): "rgb48le", ("uint16", 4): "rgba64le"}


class Converter:
    """Turns arrays of one clip into frames of the plan's size and pixel format."""

    def __init__(self, plan: EncodePlan) -> None:
        self._plan = plan
        self._exact = plan.encoder == "ffv1"
        self._graph: Graph | None = None
        depth = av.VideoFormat(plan.pixel_format).components[0].bits
        # swscale makes full range by dropping bits.
        white = _LIMITED_WHITE if plan.picture_range == "tv" else ((1 << depth) - 1) << (16 - depth)
        self._levels = np.round(np.arange(65536) * (white / 65535)).astype(np.uint16)

    def convert(self, array: NDArray[Any]) -> av.VideoFrame:
        """A frame of an array (H, W, 1 to 4), uint8 or uint16 at full scale: grey or RGB, full range, then alpha."""
        height, width, _ = array.shape
        missing = (self._plan.height - height, self._plan.width - width)
        if any(missing):
            array = np.pad(array, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        frame = self._as_numbered(array) if self._exact else self._as_yuv(array)
        # Some encoders take the tags from the frames.
        colour = self._plan.colour
        frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
        frame.colorspace, frame.color_range = colour.matrix, colour.range
        return frame

    def _as_numbered(self, array: NDArray[Any]) -> av.VideoFrame:
        """The very numbers, rounded to the depth of the pixel format where that is less than 16 bits."""
        name = self._plan.pixel_format
        if name == "gray":
            return av.VideoFrame.from_ndarray(array[..., 0], format=name)
        if name == "ya8":
            frame = av.VideoFrame(array.shape[1], array.shape[0], name)
            _fill(frame, array)
            return frame
        if name in ("bgr0", "bgra"):
            order = (2, 1, 0, 3) if name == "bgra" else (2, 1, 0, 0)
            frame = av.VideoFrame(array.shape[1], array.shape[0], name)
            _fill(frame, array[..., order])
            return frame
        depth = int("".join(filter(str.isdigit, name.removesuffix("le"))))
        greatest = (1 << depth) - 1
        if depth < 16:
            array = ((array.astype(np.uint32) * greatest + 32767) // 65535).astype(np.uint16)
        if name.startswith("gray"):
            return av.VideoFrame.from_ndarray(array[..., 0], format=name)
        if array.shape[2] == 2:
            array = array[..., (0, 0, 0, 1)]
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=name)

    def _as_yuv(self, array: NDArray[Any]) -> av.VideoFrame:
        if array.shape[2] < 3:  # Grey, with or without alpha.
            array = array[..., (0, 0, 0, 1)[: array.shape[2] + 2]]
        if array.dtype == np.uint16:
            array = np.concatenate((self._levels[array[..., :3]], array[..., 3:]), axis=2)
        source = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(array), format=_PACKED[array.dtype.name, array.shape[2]]
        )
        source.pts, source.time_base = 0, self._plan.time_base
        source.colorspace, source.color_range = _RGB, _FULL
        if self._graph is None:
            self._graph = self._make_graph(source.format.name)
        self._graph.push(source)
        frame = self._graph.pull()
        if not isinstance(frame, av.VideoFrame):
            raise TypeError("the scale filter gave no picture")
        return frame

    def _make_graph(self, source_format: str) -> Graph:
        plan, graph = self._plan, Graph()
        # Scaling threads would be started per process; conversion takes a few per cent of encoding.
        graph.threads = 1
        source = graph.add(
            "buffer",
            f"video_size={plan.width}x{plan.height}:pix_fmt={source_format}:time_base={plan.time_base}"
            f":pixel_aspect={plan.aspect.numerator}/{plan.aspect.denominator}:colorspace=gbr:range=pc",
        )
        scale = graph.add(
            "scale",
            f"flags={_SCALE_FLAGS}:out_color_matrix={plan.matrix}:out_range={plan.picture_range}:out_chroma_loc=left",
        )
        target = graph.add("format", plan.pixel_format)
        sink = graph.add("buffersink")
        source.link_to(scale)
        scale.link_to(target)
        target.link_to(sink)
        graph.configure()
        return graph


def _fill(frame: av.VideoFrame, packed: NDArray[Any]) -> None:
    """Copy packed pixels (H, W, bytes) into a frame of one plane."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
    rows[: packed.shape[0], : packed.shape[1] * packed.shape[2]] = packed.reshape(packed.shape[0], -1)
