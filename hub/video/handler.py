"""The job handler for clips."""

from __future__ import annotations

import hashlib
import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.engine import Priority
from hub.jobs.handler import JobContext, Outcome
from hub.media.video.decoder import ClipDecoder
from hub.media.video.writing import Joined
from hub.stages import Stage, fetch_weights
from hub.video.options import VideoOptions
from hub.video.pipeline import Told
from hub.video.preview import write_jpeg
from hub.video.restoration import ClipRestoration, Restored
from hub.video.terms import ClipTerms
from hub.video.tracks import AFTER, BEFORE, RESULT

if TYPE_CHECKING:
    from hub.catalog import Catalog, ModelEntry
    from hub.fetch import Fetcher
    from hub.networks import Networks

SEGMENTS = "segments"
OUTCOME = "outcome.json"
LATEST = "latest.jpg"
SHOWN = {BEFORE: "before.mp4", AFTER: "after.mp4"}
LATEST_SECONDS = 1.5
LATEST_SIDE = 640
# Where the stages of a job begin, as fractions of its progress bar.
RESTORING, JOINING = 0.02, 0.96


class VideoHandler:
    """Restores one uploaded clip: fetch the weights if need be, restore segment by segment, join, publish.

    A job that was interrupted, or failed and is resumed, goes on after its last finished segment.
    auto_fetch: whether weights may be downloaded.
    """

    def __init__(
        self,
        catalog: Catalog,
        fetcher: Fetcher,
        decoder: ClipDecoder,
        networks: Networks,
        *,
        terms: ClipTerms,
        auto_fetch: bool = True,
    ) -> None:
        self._catalog = catalog
        self._fetcher = fetcher
        self._decoder = decoder
        self._networks = networks
        self._terms = terms
        self._auto_fetch = auto_fetch

    def __call__(self, context: JobContext) -> Outcome:
        """Run one job; the spec holds VideoOptions whose model has been chosen."""
        if (outcome := _outcome(context)) is not None:
            return outcome
        started = time.monotonic()
        options = VideoOptions.from_spec(context.job.spec)
        entry = self._catalog.resolve(options.task_type, options.model_name)
        if not entry.installed:
            stage = Stage(context, 0.0, RESTORING)
            fetch_weights(self._fetcher, entry, context, stage, allowed=self._auto_fetch)
            entry = self._catalog.get(entry.name)
        context.report(0.0, "Reading the clip")
        clip = ClipRestoration(
            context.input,
            context.workdir / SEGMENTS,
            options,
            self._terms,
            decoder=self._decoder,
            weights=weights_digest(entry.path),
            cancelled=context.cancelled,
            advanced=context.advanced,
        )
        context.report(0.01, f"Loading the model {entry.text}")
        with self._networks.session(entry.name, Priority.VIDEO, cancelled=context.cancelled) as session:
            restored = clip.restore(session, _Teller(context, clip, show=options.display))
        context.begin(JOINING, "Writing the result")
        for track in clip.tracks.keys() - {RESULT}:
            context.keep(SHOWN[track], partial(clip.join, track, restored))
        joined: list[Joined] = []
        stage = Stage(context, JOINING, 1.0)
        result_path = context.publish(
            clip.plan.suffix, lambda path: joined.append(clip.join(RESULT, restored, path, stage.report))
        )
        details = describe(clip, restored, joined[-1], options, entry, time.monotonic() - started)
        record = json.dumps({"result_path": result_path, "result": details})
        context.keep(OUTCOME, lambda path: path.write_text(record, encoding="utf-8"))
        clip.discard()
        return Outcome(result_path, details)


def _outcome(context: JobContext) -> Outcome | None:
    """What an earlier run made, if the server died between the end of that work and its record."""
    kept = context.workdir / OUTCOME
    if not kept.is_file():
        return None
    record = json.loads(kept.read_text(encoding="utf-8"))
    return Outcome(**record) if context.published(record["result_path"]) else None


def weights_digest(path: Path | None) -> str:
    """What changes when the weights do, and not with the time at which they were copied."""
    if path is None:
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(
    clip: ClipRestoration, restored: Restored, joined: Joined, options: VideoOptions, entry: ModelEntry, seconds: float
) -> dict[str, Any]:
    """The result's details, for clients."""
    report = restored.report
    begun_anew = (
        [f"Finished work of an earlier run was done again, because of a change: {', '.join(clip.changed)}."]
        if clip.changed
        else []
    )
    return {
        "width": clip.plan.width,
        "height": clip.plan.height,
        "frames": joined.frames,
        "duration": round(joined.seconds, 6),
        "task": options.task_type,
        "model": entry.name,
        "strength": options.strength,
        "temporal": options.smooths,
        "codec": options.codec,
        "pixel_format": clip.plan.pixel_format,
        "format": clip.plan.suffix.removeprefix("."),
        "bytes": joined.bytes,
        "audio_streams": joined.audio,
        "subtitle_streams": joined.subtitles,
        "tiles": report.tiles,
        "tile_width": report.tile_width,
        "tile_height": report.tile_height,
        "overlap": report.overlap,
        "segments": restored.ending.segments,
        "resumed_segments": restored.resumed,
        "seconds": round(seconds, 3),
        "notes": list(dict.fromkeys([*clip.info.notes, *restored.notes, *clip.plan.notes, *joined.notes, *begun_anew])),
    }


class _Teller:
    """Tells a job's owner how far its clip is, and shows the frame finished last."""

    def __init__(self, context: JobContext, clip: ClipRestoration, *, show: bool) -> None:
        self._context = context
        self._frames = clip.frames
        self._aspect = clip.info.aspect
        self._show = show
        self._begun = False
        self._shown = -LATEST_SECONDS

    def __call__(self, fraction: float, told: Told) -> None:
        place = RESTORING + fraction * (JOINING - RESTORING)
        if not self._begun:  # A resumed clip is far at once; its speed is measured from here.
            self._begun = True
            self._context.begin(place)
        of = f" of {self._frames}" if self._frames and self._frames >= told.done else ""
        details = {
            "frames_done": told.done,
            "frames_total": None if self._frames is None else max(self._frames, told.done),
            "frames_per_second": None if told.speed is None else round(told.speed, 3),
        }
        self._context.report(place, f"Restored frame {told.done}{of}", details)
        if self._show and time.monotonic() - self._shown >= LATEST_SECONDS:
            self._shown = time.monotonic()
            self._context.keep(LATEST, lambda path: write_jpeg(path, told.pixels, LATEST_SIDE, self._aspect))
