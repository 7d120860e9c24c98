"""From decoded frames to arrays: deinterlaced, in RGB or grey of full range, cropped and upright."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from errno import EAGAIN
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.error import EOFError as EndOfStream
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from hub.media.video.clip import ClipInfo, Frame
from hub.media.video.colours import MATRIX_CODES, matrix_for, range_for
from hub.media.video.geometry import Crop, Turn, black
from hub.media.video.levels import alpha_table, as_it_is, colour_table, is_grey

_FORMATS = {
    ("uint8", 1): "gray",
    ("uint8", 2): "ya8",
    ("uint8", 3): "rgb24",
    ("uint8", 4): "rgba",
    ("uint16", 1): "gray16le",
    ("uint16", 2): "ya16le",
    ("uint16", 3): "rgb48le",
    ("uint16", 4): "rgba64le",
}
_SCALER = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_RANGE_CODES = {"tv": 1, "pc": 2}
# bwdif refuses planes smaller than this.
_LEAST_COLUMNS, _LEAST_ROWS = 3, 4
_THREADS = min(8, os.cpu_count() or 1)
# How many frames before the first that is wanted a deinterlacer looks at.
LEAD_IN = 2


def channels_of(picture: VideoFormat, frame: VideoFrame) -> int:
    """Channels of the arrays that frames of this format become: 1 grey, 2 with alpha, 3 RGB, 4 with alpha."""
    if picture.has_palette:
        alpha = np.frombuffer(memoryview(frame.planes[1]), np.uint8)[3::4]
        return 4 if (alpha < 255).any() else 3
    return (1 if is_grey(picture) else 3) + any(component.is_alpha for component in picture.components)


def depth_of(picture: VideoFormat) -> int:
    """Bits of one channel, at least 8, at most 16."""
    return min(16, max(8, *(component.bits for component in picture.components)))


def deinterlaces(picture: VideoFormat, width: int, height: int) -> bool:
    """Whether frames of this format and size can be deinterlaced."""
    if picture.is_rgb or picture.has_palette or picture.name.startswith("mono"):
        return False
    if not picture.is_planar and len(picture.components) > 1:
        return False
    return picture.chroma_width(width) >= _LEAST_COLUMNS and picture.chroma_height(height) >= _LEAST_ROWS


class FrameGraph:
    """Frames of one size and pixel format through one filter graph; see `Pictures`."""

    def __init__(self, frame: VideoFrame, info: ClipInfo, crop: Crop, turn: Turn) -> None:
        """frame: the first one. crop, turn: from its picture to the upright one."""
        self.key = key_of(frame)
        self._dtype = info.dtype
        self._channels = info.channels
        self._turn = turn
        self._size = turn.size(info.width, info.height)
        self._fits = crop.size(frame.width, frame.height) == self._size
        self._crop = crop if self._fits else Crop()
        self._canvas = (info.height, info.width, info.channels)
        self._waiting: deque[tuple[int, int | None]] = deque()
        self._pushed = 0
        self._matrix, self._range = matrix_for(info), range_for(info)
        self._rgb = frame.format.is_rgb or frame.format.has_palette
        self._colour_table = colour_table(frame.format, self._range, self._dtype)
        self._alpha_table = alpha_table(frame.format, self._dtype) if info.channels in (2, 4) else None
        self._source, self._sink, self._graph = self._build(frame)

    def push(self, frame: VideoFrame, pts: int, duration: int | None) -> Iterator[Frame]:
        """Put one frame in; the frames that come out, which may lag by one."""
        # The filters see frames counted: the times wait outside, where none can be rounded or overflow.
        self._waiting.append((pts, duration))
        frame.pts = self._pushed
        self._pushed += 1
        if not self._rgb:
            frame.colorspace = MATRIX_CODES[self._matrix]
            frame.color_range = _RANGE_CODES[self._range]
        self._source.push(frame)
        yield from self._pull()

    def flush(self) -> Iterator[Frame]:
        """The frames that are still inside; no more may be pushed."""
        self._source.push(None)
        yield from self._pull()

    def _build(self, frame: VideoFrame) -> tuple[FilterContext, FilterContext, Graph]:
        graph = Graph()
        graph.threads = _THREADS
        colour = {} if self._rgb else {"colorspace": str(MATRIX_CODES[self._matrix]), "range": self._range}
        source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base="1/25",
            pixel_aspect="1/1",
            **colour,
        )
        nodes = [source]
        if deinterlaces(frame.format, frame.width, frame.height):
            # One frame in, one out; frames that are not flagged as interlaced pass untouched.
            nodes.append(graph.add("bwdif", mode="send_frame", deint="interlaced"))
        wanted = _FORMATS[self._dtype, self._channels]
        if self._dtype == "uint16" and as_it_is(frame.format):
            wanted = f"gray{frame.format.components[0].bits}le"
        if not (self._fits and wanted == frame.format.name):  # Even to the same format the scaler changes deep grey.
            width, height = (frame.width, frame.height) if self._fits else self._fitted(frame)
            options = {"w": str(width), "h": str(height), "flags": _SCALER}
            if not self._rgb:
                options |= {"in_color_matrix": self._matrix, "in_range": self._range}
            nodes.append(graph.add("scale", **options, out_range="pc"))
            nodes.append(graph.add("format", pix_fmts=wanted))
        nodes.append(graph.add("buffersink"))
        graph.link_nodes(*nodes).configure()
        return source, nodes[-1], graph

    def _fitted(self, frame: VideoFrame) -> tuple[int, int]:
        """The largest size of the frame's shape that fits the clip's."""
        ratio = min(Fraction(self._size[0], frame.width), Fraction(self._size[1], frame.height))
        return max(1, round(frame.width * ratio)), max(1, round(frame.height * ratio))

    def _pull(self) -> Iterator[Frame]:
        while True:
            try:
                frame = self._sink.pull()
            except EndOfStream:
                return
            except av.FFmpegError as error:
                if error.errno != EAGAIN:
                    raise
                return
            pts, duration = self._waiting.popleft()
            yield Frame(self._upright(cast(VideoFrame, frame)), pts, duration)

    def _upright(self, frame: VideoFrame) -> NDArray[Any]:
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), self._dtype).reshape(frame.height, -1)
        pixels = rows[:, : frame.width * self._channels].reshape(frame.height, frame.width, self._channels)
        pixels = self._levelled(self._turn.apply(self._crop.apply(pixels)))
        if self._fits:
            return np.ascontiguousarray(pixels)
        canvas = black(self._canvas, self._dtype)
        top, left = (self._canvas[0] - pixels.shape[0]) // 2, (self._canvas[1] - pixels.shape[1]) // 2
        canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return canvas

    def _levelled(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The picture at full scale."""
        if self._colour_table is None and self._alpha_table is None:
            return pixels
        # mode: a plain lookup checks every index, though none can be out of bounds.
        if self._alpha_table is None and self._channels in (1, 3):
            return np.take(cast(NDArray[Any], self._colour_table), pixels, mode="clip")
        levelled = np.array(pixels)
        if self._colour_table is not None:
            levelled[..., :-1] = np.take(self._colour_table, pixels[..., :-1], mode="clip")
        if self._alpha_table is not None:
            levelled[..., -1] = np.take(self._alpha_table, pixels[..., -1], mode="clip")
        return levelled


def key_of(frame: VideoFrame) -> tuple[int, int, str]:
    """What must be the same for two frames to pass through one graph."""
    return frame.width, frame.height, frame.format.name


class Pictures:
    """All frames of a clip, whatever their size and format, as arrays of the clip's own.

    Frames of another size are scaled to fit, centred on black.
    resized, interlaced, other_size: of the frames that were put in so far; see `Counts`.
    """

    def __init__(self, info: ClipInfo, crop: Crop, turn: Turn) -> None:
        self._info = info
        self._crop = crop
        self._turn = turn
        self._graph: FrameGraph | None = None
        self._stored = turn.size(info.width, info.height)
        self.resized = 0
        self.interlaced = 0
        self.other_size = ""

    def push(self, frame: VideoFrame, pts: int, duration: int | None) -> Iterator[Frame]:
        """Put one frame in; the frames that come out, in order, which may lag by one."""
        if self._graph is not None and self._graph.key != key_of(frame):
            yield from self.flush()
        if self._graph is None:
            self._graph = FrameGraph(frame, self._info, self._crop, self._turn)
        if self._crop.size(frame.width, frame.height) != self._stored:
            self.resized += 1
            self.other_size = f"{frame.width} x {frame.height}"
        self.interlaced += frame.interlaced_frame and not self._info.interlaced
        yield from self._graph.push(frame, pts, duration)

    def flush(self) -> Iterator[Frame]:
        """The frames that are still inside."""
        graph, self._graph = self._graph, None
        if graph is not None:
            yield from graph.flush()
