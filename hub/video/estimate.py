"""How long a clip will take and how large its result will be, told before it is run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.catalog import Catalog, ModelEntry
from hub.jobs.manager import JobManager
from hub.jobs.model import Kind, Status
from hub.media.video.clip import ClipInfo
from hub.media.video.decoder import ClipDecoder
from hub.networks import Networks
from hub.stopping import Stopping
from hub.video.options import VideoOptions
from hub.video.recipe import segment_frames
from hub.video.selection import chosen_frames, chosen_seconds, chosen_ticks
from hub.video.sizes import Scales
from hub.video.terms import ClipTerms
from hub.video.tracks import RESULT, USUAL_RATE, make_tracks
from hub.work import pixel_work
from uformer.tiling import plan_tiles

_SOUND_BYTES = 18_000  # Per second and stream; what AAC at 144 kbit/s takes.
_FILE_BYTES = 4_000
# What a frame costs besides the network, in seconds per pixel: decoding, encoding, and the smoothing over time.
_HANDLING, _SMOOTHING = 25e-9, 70e-9
_BEGINNING = 1.5  # Seconds before the first frame and after the last.


@dataclass(frozen=True)
class Estimate:
    """seconds: None where nothing has run yet that would tell. bytes: of the result's file, sound included; None where
    the sample could not be taken in time.

    rough: the time follows from a first tile alone, or from what another network took.
    """

    seconds: float | None
    bytes: int | None
    rough: bool = False


class ClipEstimator:
    """Estimates clips; thread-safe.

    Size: what `Scales` weighs of a few frames. Against real runs of a moving and a still clip, in H.264, H.265, VP9 and
    AV1 at the qualities 18 to 30, it said 0.67 to 1.3 times what came out.
    Time: what the engine measured for the model on this machine, per pixel, for the tiles that the clip will need; else
    what the model's finished clips took; else, roughly, the same of another model, as much longer as its network has
    more work; else what first tiles took.
    """

    def __init__(
        self,
        decoder: ClipDecoder,
        catalog: Catalog,
        networks: Networks,
        terms: ClipTerms,
        manager: JobManager,
        stopping: Stopping,
    ) -> None:
        self._scales = Scales(decoder, terms, stopping)
        self._catalog = catalog
        self._networks = networks
        self._terms = terms
        self._manager = manager

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
        size = self._bytes(path, info, options, frames, seconds)
        model = self._catalog.get(str(options.model_name))
        time = self._seconds(model, info, options, frames)
        if time is not None:
            return Estimate(time, size)
        time = self._rough_seconds(model, info, options, frames)
        return Estimate(time, size, rough=time is not None)

    def _finished(self) -> list[dict[str, Any]]:
        """The results of restored clips, newest first."""
        views = self._manager.list(kind=Kind.VIDEO, status=Status.COMPLETED)
        return [view.job.result for view in views if view.job.result]

    def _bytes(self, path: Path, info: ClipInfo, options: VideoOptions, frames: int, seconds: float) -> int | None:
        plan = make_tracks(info, options, hardware=self._terms.hardware)[RESULT].plan
        coded = self._scales.weigh(path, info, options)
        if coded is None:
            return None
        keys = math.ceil(frames / segment_frames(info, self._terms))
        pixels = plan.width * plan.height
        picture = pixels * (coded.key * keys + coded.other * (frames - keys))
        return round(picture + seconds * _SOUND_BYTES * info.audio_streams + _FILE_BYTES)

    def _seconds(
        self,
        model: ModelEntry,
        info: ClipInfo,
        options: VideoOptions,
        frames: int,
        *,
        work: float = 1.0,
        provisional: bool = False,
    ) -> float | None:
        """What is known of a model. work: how many times as much another one has, whose time is asked for.

        provisional: a first tile tells too.
        """
        rate = self._networks.pixel_seconds(model.name, provisional=provisional)
        if rate is not None:
            terms = self._terms
            tiles = plan_tiles(
                info.height, info.width, max_pixels=terms.max_tile_pixels, overlap=terms.overlap, tile=terms.tile
            )
            handling = _HANDLING + (_SMOOTHING if options.smooths else 0.0)
            return _BEGINNING + frames * (work * rate * tiles.pixels + handling * info.width * info.height)
        for result in self._finished():
            if result.get("model") == model.name and not result.get("resumed_segments"):
                pace = result["seconds"] / (result["frames"] * result["width"] * result["height"])
                return float(work * pace * frames * info.width * info.height)
        return None

    def _rough_seconds(self, model: ModelEntry, info: ClipInfo, options: VideoOptions, frames: int) -> float | None:
        """By the model whose work is most like this one's: of those that were measured, else of those that ran."""
        for provisional in (False, True):
            for other, work in self._likenesses(model):
                seconds = self._seconds(other, info, options, frames, work=work, provisional=provisional)
                if seconds is not None:
                    return seconds
        return None

    def _likenesses(self, model: ModelEntry) -> Iterator[tuple[ModelEntry, float]]:
        """The models, and how many times their work this one has: itself, then the others, the most alike first."""
        yield model, 1.0
        others = [other for other in self._catalog.models() if other.name != model.name and other.variant]
        if model.variant is None or not others:
            return
        mine = pixel_work(model.variant)
        likenesses = [(other, mine / pixel_work(str(other.variant))) for other in others]
        yield from sorted(likenesses, key=lambda likeness: abs(math.log(likeness[1])))
