"""How long a clip will take and how large its result will be, told before it is run."""

from __future__ import annotations

import io
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub.media.video.clip import ClipInfo
from hub.media.video.decoder import ClipDecoder
from hub.video.options import VideoOptions
from hub.video.recipe import segment_frames
from hub.video.sample import blended, cleaned, mosaic
from hub.video.selection import chosen_frames, chosen_seconds, chosen_ticks
from hub.video.terms import ClipTerms
from hub.video.tracks import RESULT, USUAL_RATE, make_tracks

if TYPE_CHECKING:
    from hub.media.video.codecs import EncodePlan
    from hub.networks import Networks

PLACES = (0.25, 0.7)
"""Where in the range samples are taken, as parts of its length: at the edges clips fade."""
SAMPLE_FRAMES = 10
_KEPT_SAMPLES = 4
_SOUND_BYTES = 18_000  # Per second and stream; what AAC at 144 kbit/s takes.
_FILE_BYTES = 4_000
# What a frame costs besides the network, in seconds per pixel: decoding, encoding, and the smoothing over time.
_HANDLING, _SMOOTHING = 25e-9, 70e-9
_BEGINNING = 1.5  # Seconds before the first frame and after the last.


_Sample = list[tuple[NDArray[Any], NDArray[Any]]]
"""Frames that follow each other, each as it is and as it may be restored."""


@dataclass(frozen=True)
class Estimate:
    """seconds: None where nothing was measured yet that would tell. bytes: of the result's file, sound included."""

    seconds: float | None
    bytes: int


@dataclass(frozen=True)
class _Coded:
    """Mean sizes of coded frames, in bytes per pixel."""

    key: float
    other: float


class ClipEstimator:
    """Estimates clips; thread-safe, one sample is taken or coded at a time.

    Size: a few frames from two places of the range are decoded, cleaned roughly as the network would clean them,
    blended by the strength, and encoded as the result will be; key frames and others are counted by themselves. Against
    real runs of a moving and a still clip, in H.264, H.265, VP9 and AV1 at the qualities 18 to 30, it said 0.67 to 1.3
    times what came out.
    Time: what the engine measured for the model on this machine, per pixel, for the tiles that the clip will need;
    else what the model's finished clips took.
    """

    def __init__(
        self,
        decoder: ClipDecoder,
        networks: Networks,
        terms: ClipTerms,
        finished: Callable[[str], Sequence[dict[str, Any]]],
    ) -> None:
        """finished: the results of completed clips of a model, newest first, as their jobs' rows hold them."""
        self._decoder = decoder
        self._networks = networks
        self._terms = terms
        self._finished = finished
        self._lock = threading.Lock()
        self._samples: OrderedDict[Any, list[_Sample]] = OrderedDict()
        self._coded: OrderedDict[Any, _Coded] = OrderedDict()

    def estimate(self, path: Path, info: ClipInfo, options: VideoOptions) -> Estimate:
        """Estimate a clip; options: with the model chosen. Raises HubError for what could not be run either."""
        options.check()
        chosen_ticks(info, options)
        seconds = chosen_seconds(info, options)
        frames = chosen_frames(info, options)
        if frames is None:
            frames = max(1, math.ceil((seconds or 0.0) * (info.rate or USUAL_RATE)))
        if seconds is None:
            seconds = frames / float(info.rate or USUAL_RATE)
        return Estimate(self._seconds(info, options, frames), self._bytes(path, info, options, frames, seconds))

    def _bytes(self, path: Path, info: ClipInfo, options: VideoOptions, frames: int, seconds: float) -> int:
        plan = make_tracks(info, options, hardware=self._terms.hardware)[RESULT].plan
        with self._lock:
            coded = self._code(path, info, options)
        keys = math.ceil(frames / segment_frames(info, self._terms))
        pixels = plan.width * plan.height
        picture = pixels * (coded.key * keys + coded.other * (frames - keys))
        return round(picture + seconds * _SOUND_BYTES * info.audio_streams + _FILE_BYTES)

    def _code(self, path: Path, info: ClipInfo, options: VideoOptions) -> _Coded:
        state = path.stat()
        looks = (path, state.st_mtime_ns, options.start, options.end, options.task_type)
        wanted = (looks, options.codec, options.quality, options.strength)
        if wanted not in self._coded:
            if looks not in self._samples:
                _keep(self._samples, looks, self._take(path, info, options), _KEPT_SAMPLES)
            runs = [[blended(*pair, options.strength) for pair in sample] for sample in self._samples[looks]]
            _keep(self._coded, wanted, code(runs, info, options), 16 * _KEPT_SAMPLES)
        return self._coded[wanted]

    def _take(self, path: Path, info: ClipInfo, options: VideoOptions) -> list[_Sample]:
        """Frames from some places of the range."""
        first = float(info.start - info.origin)
        begin = first if options.start is None else max(first, options.start)
        length = chosen_seconds(info, options) or 0.0
        samples = []
        for place in PLACES if length * float(info.rate or USUAL_RATE) > 4 * SAMPLE_FRAMES else (0.0,):
            since = math.floor((Fraction(begin + place * length) + info.origin) / info.time_base)
            with self._decoder.read(path, info, since=since) as reading:
                run = [mosaic(frame.pixels) for frame in islice(reading, SAMPLE_FRAMES)]
            if run:
                # What removes blur keeps all detail, and adds some.
                denoises = options.task_type == "denoise"
                samples.append([(frame, cleaned(frame) if denoises else frame) for frame in run])
        return samples

    def _seconds(self, info: ClipInfo, options: VideoOptions, frames: int) -> float | None:
        model = str(options.model_name)
        rate = self._networks.pixel_seconds(model)
        if rate is not None:
            from uformer.tiling import plan_tiles  # PyTorch is here already: an engine has measured.

            terms = self._terms
            tiles = plan_tiles(
                info.height, info.width, max_pixels=terms.max_tile_pixels, overlap=terms.overlap, tile=terms.tile
            )
            handling = _HANDLING + (_SMOOTHING if options.smooths else 0.0)
            return _BEGINNING + frames * (rate * tiles.pixels + handling * info.width * info.height)
        for result in self._finished(model):
            if not result.get("resumed_segments"):
                pace = result["seconds"] / (result["frames"] * result["width"] * result["height"])
                return float(pace * frames * info.width * info.height)
        return None


def code(runs: Sequence[Sequence[NDArray[Any]]], info: ClipInfo, options: VideoOptions) -> _Coded:
    """Encode runs of frames as the result will be encoded. Raises InvalidInput for what the codec cannot hold."""
    keys: list[float] = []
    others: list[float] = []
    for run in runs:
        height, width = run[0].shape[:2]
        plan = make_tracks(replace(info, width=width, height=height), options, hardware=False)[RESULT].plan
        sizes = _sizes(run, plan)
        pixels = plan.width * plan.height
        keys.append(sizes[0] / pixels)
        others.extend(size / pixels for size in sizes[1:])
    key = float(np.mean(keys)) if keys else 0.0
    return _Coded(key, float(np.mean(others)) if others else key)


def _sizes(run: Sequence[NDArray[Any]], plan: EncodePlan) -> list[int]:
    """Bytes of each coded frame, in the order of coding: the first is the key frame."""
    import av

    from hub.media.video.codecs import frame_ticks
    from hub.media.video.converting import Converter
    from hub.media.video.encoding import add_video_stream

    converter = Converter(plan)
    with av.open(io.BytesIO(), "w", format="matroska") as container:
        stream = add_video_stream(container, plan)
        packets = []
        for place, pixels in enumerate(run):
            frame = converter.convert(pixels)
            frame.pts, frame.time_base = place * frame_ticks(plan), plan.time_base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        return [packet.size for packet in packets]


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)
