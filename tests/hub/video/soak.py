"""Restores a long 1280 x 720 clip with a stub in the network's place and tells how much memory that took.

`python tests/hub/video/soak.py [SECONDS] [FRAMES PER SECOND]`: ten minutes at 25 frames per second by default.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
from numpy.typing import NDArray

from hub.media.video.decoder import ClipDecoder
from hub.video.options import VideoOptions
from hub.video.restoration import ClipRestoration
from hub.video.terms import ClipTerms
from hub.video.tracks import RESULT

MIB = 1 << 20
PIECE_SECONDS = 10


class Unchanged:
    """The network's place: tiles as they are."""

    def prepare(self, shapes: Iterable[tuple[int, int]]) -> None:
        """Nothing is compiled."""

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        for tile in tiles:
            yield tile.astype(np.float32) / np.iinfo(tile.dtype).max


class MemoryMeter:
    """Samples the resident memory of this process and its children, four times a second."""

    def __init__(self) -> None:
        self.samples: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> MemoryMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        us = psutil.Process()
        while not self._stop.wait(0.25):
            total = 0
            for process in [us, *us.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.samples.append(total)


def make_long_clip(path: Path, seconds: int, rate: int) -> Path:
    """A 1280 x 720 clip: ten seconds are coded, their packets repeated."""
    piece = path.with_name("piece.mp4")
    rows, columns = np.mgrid[0:720, 0:1280]
    with av.open(piece, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for index in range(PIECE_SECONDS * rate):
            wave = 127 + 100 * np.sin((columns + 8 * index) / 37) * np.cos((rows - 5 * index) / 23)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.stack([wave] * 3, -1).astype(np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    with av.open(path, "w") as output:
        written = None
        for repeat in range(seconds // PIECE_SECONDS):
            with av.open(piece) as source:
                coded = source.streams.video[0]
                written = written or output.add_stream_from_template(coded)
                for packet in source.demux(coded):
                    if packet.dts is None or packet.pts is None:
                        continue
                    shift = round(repeat * PIECE_SECONDS / packet.time_base)
                    packet.dts, packet.pts, packet.stream = packet.dts + shift, packet.pts + shift, written
                    output.mux(packet)
    return path


def times(path: Path) -> list[Fraction]:
    """Presentation times of all coded frames, in order."""
    with av.open(path) as container:
        return sorted(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.size)


def soak(folder: Path, seconds: int, rate: int) -> tuple[list[int], int, float]:
    """Restore such a clip; returns the samples of memory, the frames done, and the seconds taken."""
    source = make_long_clip(folder / "long.mp4", seconds, rate)
    terms = ClipTerms(
        max_tile_pixels=400_000,
        tile=None,
        overlap=64,
        segment_seconds=2.0,
        memory_bytes=8_000_000_000,
        silence=60.0,
        min_free_bytes=0,
    )
    decoder = ClipDecoder(
        max_pixels=36_000_000, max_seconds=14_400, max_frames=1_000_000, silence=60.0, memory_bytes=8_000_000_000
    )
    clip = ClipRestoration(source, folder / "segments", VideoOptions(), terms, decoder=decoder, weights=[])
    began = time.monotonic()
    with MemoryMeter() as meter:
        restored = clip.restore(Unchanged(), lambda _fraction, _told: None)  # type: ignore[arg-type]
        joined = clip.join(RESULT, restored, folder / "out.mp4")
    decoder.close()
    took = time.monotonic() - began
    if times(folder / "out.mp4") != times(source):
        raise RuntimeError("The result's times are not the clip's.")
    return meter.samples, joined.frames, took


if __name__ == "__main__":
    asked = [int(argument) for argument in sys.argv[1:]]
    length, per_second = (*asked, 600, 25)[:2] if len(asked) == 2 else (asked[0] if asked else 600, 25)
    with tempfile.TemporaryDirectory() as temporary:
        samples, frames, took = soak(Path(temporary), length, per_second)
    half = len(samples) // 2
    print(
        f"{frames} frames in {took:.0f} s ({1000 * took / frames:.1f} ms each); resident at most "
        f"{max(samples) / MIB:.0f} MiB, in the first half {max(samples[:half]) / MIB:.0f} MiB"
    )
