"""How large the frames of a clip are when they are coded as its result will be, found by coding a few of them."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.errors import Cancelled, InvalidInput
from hub.media.video.clip import ClipInfo
from hub.media.video.decoder import ClipDecoder
from hub.media.video.process import VideoProcess, open_process
from hub.stopping import Stopping
from hub.video.options import VideoOptions
from hub.video.sample import blended, mosaic
from hub.video.selection import chosen_seconds
from hub.video.terms import ClipTerms
from hub.video.tracks import RESULT, USUAL_RATE, make_tracks

PLACES = (0.25, 0.7)
"""Where in the range samples are taken, as parts of its length: at the edges clips fade."""
SAMPLE_FRAMES = 10
TURN_SECONDS = 20.0
"""How long a clip waits for its turn, and then how long it may take."""
_GLANCE_SECONDS = 0.25
_KEPT_SAMPLES = 1  # Some 30 MB, of the clip that somebody is choosing settings for.
_KEPT_SIZES = 64

_Sample = list[tuple[NDArray[Any], NDArray[Any]]]
"""Frames that follow each other, each as it is and as it may be restored."""


@dataclass(frozen=True)
class CodedSizes:
    """Mean sizes of coded frames, in bytes per pixel."""

    key: float
    other: float


class Scales:
    """Weighs clips, one at a time: decoding, cleaning and coding each happen in a child that can be ended.

    A few frames from two places of the range are decoded, cleaned roughly as the network would clean them, blended by
    the strength, and encoded as the result will be; key frames and others are counted by themselves.
    """

    def __init__(self, decoder: ClipDecoder, terms: ClipTerms, stopping: Stopping) -> None:
        self._decoder = decoder
        self._terms = terms
        self._stopping = stopping
        self._turn = threading.Lock()
        self._samples: OrderedDict[Any, list[_Sample]] = OrderedDict()
        self._sizes: OrderedDict[Any, CodedSizes] = OrderedDict()

    def weigh(self, path: Path, info: ClipInfo, options: VideoOptions) -> CodedSizes | None:
        """Sizes of the clip's coded frames; None where its turn did not come in time, or it took too long.

        Raises InvalidInput for what the codec cannot hold, and what decoding the clip raises.
        """
        state = path.stat()
        looks = (path, state.st_mtime_ns, options.start, options.end, options.task_type)
        wanted = (looks, options.codec, options.quality, options.strength)
        with self._taking_turns() as over:
            if over is None or over():
                return self._sizes.get(wanted)
            try:
                if looks not in self._samples:
                    _keep(self._samples, looks, self._take(path, info, options, over), _KEPT_SAMPLES)
                if wanted not in self._sizes:
                    runs = [[blended(*pair, options.strength) for pair in sample] for sample in self._samples[looks]]
                    _keep(self._sizes, wanted, self._code(runs, info, options, over), _KEPT_SIZES)
            except Cancelled:
                return None
            return self._sizes[wanted]

    @contextmanager
    def _taking_turns(self) -> Iterator[Callable[[], bool] | None]:
        """A turn, and what tells when it is over; None where none came."""
        waiting = self._clock()
        while not self._turn.acquire(timeout=_GLANCE_SECONDS):
            if waiting():
                yield None
                return
        try:
            yield self._clock()
        finally:
            self._turn.release()

    def _clock(self) -> Callable[[], bool]:
        end = time.monotonic() + TURN_SECONDS
        return lambda: time.monotonic() > end or self._stopping.begun

    def _take(self, path: Path, info: ClipInfo, options: VideoOptions, over: Callable[[], bool]) -> list[_Sample]:
        """Frames from some places of the range."""
        first = float(info.start - info.origin)
        begin = first if options.start is None else max(first, options.start)
        length = chosen_seconds(info, options) or 0.0
        runs = []
        for place in PLACES if length * float(info.rate or USUAL_RATE) > 4 * SAMPLE_FRAMES else (0.0,):
            since = math.floor((Fraction(begin + place * length) + info.origin) / info.time_base)
            with self._decoder.read(path, info, since=since, cancelled=over) as reading:
                runs.append([mosaic(frame.pixels) for frame in islice(reading, SAMPLE_FRAMES)])
        if options.task_type != "denoise":
            # What removes blur keeps all detail, and adds some.
            return [[(frame, frame) for frame in run] for run in runs if run]
        with self._child({"do": "clean"}, over) as child:
            return [[(frame, _cleaned(child, frame)) for frame in run] for run in runs if run]

    def _code(
        self, runs: Sequence[Sequence[NDArray[Any]]], info: ClipInfo, options: VideoOptions, over: Callable[[], bool]
    ) -> CodedSizes:
        """Encode runs of frames as the result will be encoded."""
        if not runs:
            return CodedSizes(0.0, 0.0)
        height, width = runs[0][0].shape[:2]
        plan = make_tracks(replace(info, width=width, height=height), options, hardware=False)[RESULT].plan
        with self._child({"do": "weigh", "plan": plan.to_json()}, over) as child:
            sizes = [_coded(child, run) for run in runs]
        pixels = plan.width * plan.height
        key = float(np.mean([run[0] for run in sizes])) / pixels
        others = [size for run in sizes for size in run[1:]]
        return CodedSizes(key, float(np.mean(others)) / pixels if others else key)

    @contextmanager
    def _child(self, request: dict[str, Any], over: Callable[[], bool]) -> Iterator[VideoProcess]:
        terms = self._terms
        with open_process(request, memory_bytes=terms.memory_bytes, silence=terms.silence, cancelled=over) as child:
            yield child


def _cleaned(child: VideoProcess, frame: NDArray[Any]) -> NDArray[Any]:
    child.send({"frame": True}, frame)
    _, clean = child.receive()
    if clean is None or clean.shape != frame.shape or clean.dtype != frame.dtype:
        raise _nonsense()
    return clean


def _coded(child: VideoProcess, run: Sequence[NDArray[Any]]) -> list[int]:
    """The sizes of a run's coded frames, in the order of coding."""
    child.send({"run": len(run)})
    for frame in run:
        child.send({"frame": True}, frame)
    message, _ = child.receive()
    sizes = message.get("sizes")
    if not isinstance(sizes, list) or not sizes or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise _nonsense()
    return sizes


def _nonsense() -> InvalidInput:
    return InvalidInput("damaged_video", "What handled the clip answered nonsense: it is damaged.")


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)
