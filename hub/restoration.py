"""Restoring one photo: the job handler, and the function that the command line shares with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hub.choices import check_strength
from hub.engine import Priority
from hub.errors import InvalidInput
from hub.failures import restoring
from hub.jobs.manager import JobContext, Outcome
from hub.media.image import OutputPlan, Photo, PhotoDecoder, encode, plan_output, write_display_png
from hub.stages import Stage, fetch_weights
from uformer.restore import RestoreOptions, Restorer, RestoreReport, TileRunner, blend

if TYPE_CHECKING:
    from hub.catalog import Catalog
    from hub.fetch import Fetcher
    from hub.networks import Networks

OUTPUT_FORMATS = ("same", "png", "jpeg", "webp", "tiff", "avif")
RESTORED = "restored.npy"
BEFORE = "before.png"
AFTER = "after.png"


@dataclass(frozen=True)
class PhotoOptions:
    """What a person or a program may choose for one photo.

    model_name: None takes the task's best installed model.
    use_patch_processing: False puts the photo through in one piece, as far as `whole_megapixels` allows.
    strength: 0 keeps the original, 1 is the full restoration.
    output_format: one of OUTPUT_FORMATS. quality: 1..100, for lossy formats.
    display: also write the page's before and after pictures and keep what `Display.reblend` needs.
    """

    task_type: str = "denoise"
    model_name: str | None = None
    use_patch_processing: bool = True
    strength: float = 1.0
    output_format: str = "same"
    quality: int = 95
    display: bool = False

    def check(self) -> None:
        """Raise InvalidInput for a value that no photo could be restored with; task and model are the catalog's."""
        check_strength(self.strength)
        if self.output_format not in OUTPUT_FORMATS:
            raise InvalidInput(
                "unknown_format",
                f"There is no output format {self.output_format!r}; choose one of {', '.join(OUTPUT_FORMATS)}.",
                {"valid": list(OUTPUT_FORMATS)},
            )
        if not 1 <= self.quality <= 100:
            raise InvalidInput("invalid_quality", f"The quality must be between 1 and 100, not {self.quality}.")

    def to_spec(self) -> dict[str, Any]:
        """The options as a job's spec."""
        return asdict(self)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> PhotoOptions:
        """The options of a job, also of one that an older version queued."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in spec.items() if name in known})


@dataclass(frozen=True)
class RestoreLimits:
    """What the machine can take: the planner's largest tile, and the largest photo that goes through whole."""

    max_tile_pixels: int
    max_whole_pixels: int


def restore_photo(
    photo: Photo,
    runner: TileRunner,
    options: RestoreOptions,
    *,
    limits: RestoreLimits,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Photo, RestoreReport]:
    """Restore a decoded photo, alpha untouched and grey kept grey.

    progress: told the fraction done (0..1) and a message for people.
    Raises Cancelled when `cancelled` says so, InvalidInput (`not_restorable`) for an overlap that is too
    large for any allowed tile, HubError `out_of_memory` when even the smallest tile does not fit.
    """

    def told(done: int, total: int) -> None:
        if progress is not None:
            progress(done / total, f"Restoring tile {min(done + 1, total)} of {total}")

    restorer = Restorer(runner, max_tile_pixels=limits.max_tile_pixels, max_whole_pixels=limits.max_whole_pixels)
    with restoring("this photo"):
        restored = restorer.restore(photo.pixels, options, progress=told, cancelled=cancelled)
    return replace(photo, pixels=restored.image), restored.report


class PhotoHandler:
    """Restores one uploaded photo: fetch the weights if need be, decode, restore, encode, publish.

    auto_fetch: whether weights may be downloaded.
    """

    def __init__(
        self,
        catalog: Catalog,
        fetcher: Fetcher,
        decoder: PhotoDecoder,
        networks: Networks,
        *,
        limits: RestoreLimits,
        tile: int | None = None,
        overlap: int = 64,
        auto_fetch: bool = True,
    ) -> None:
        self._catalog = catalog
        self._fetcher = fetcher
        self._decoder = decoder
        self._networks = networks
        self._limits = limits
        self._tile = tile
        self._overlap = overlap
        self._auto_fetch = auto_fetch

    def __call__(self, context: JobContext) -> Outcome:
        """Run one job; the spec holds PhotoOptions whose model has been chosen."""
        started = time.monotonic()
        options = PhotoOptions.from_spec(context.job.spec)
        entry = self._catalog.resolve(options.task_type, options.model_name)
        begin = 0.0
        if not entry.installed:
            begin = 0.5
            fetch_weights(self._fetcher, entry, context, Stage(context, 0.0, begin), allowed=self._auto_fetch)
        rest = 1.0 - begin

        context.report(begin, "Reading the photo")
        photo = self._decoder.decode(context.input)
        plan = plan_output(photo, options.output_format)  # Before the long part: some formats cannot hold some photos.
        context.check_cancelled()

        context.report(begin + 0.05 * rest, f"Loading the model {entry.text}")
        with self._networks.session(entry.name, Priority.IMAGE, cancelled=context.cancelled) as session:
            restored, report = restore_photo(
                photo,
                session,
                RestoreOptions(tile=self._tile, overlap=self._overlap, whole=not options.use_patch_processing),
                limits=self._limits,
                progress=Stage(context, begin + 0.08 * rest, begin + 0.9 * rest).report,
                cancelled=context.cancelled,
            )

        context.report(begin + 0.9 * rest, "Writing the result")
        if options.display:
            full = restored.pixels
            context.keep(RESTORED, lambda path: np.save(path, full, allow_pickle=False))
        if options.strength < 1:
            # The same blend as the one of a later change of strength, so that both give the same pixels.
            restored = replace(restored, pixels=blend(photo.pixels, restored.pixels, options.strength))
        result_path, written = _publish(context, restored, plan, options)
        if options.display:
            context.report(begin + 0.95 * rest, "Preparing the comparison")
            context.keep(BEFORE, lambda path: write_display_png(photo, path))
            context.keep(AFTER, lambda path: write_display_png(restored, path))
        return Outcome(
            result_path,
            {
                "width": photo.info.width,
                "height": photo.info.height,
                "task": options.task_type,
                "model": entry.name,
                "strength": options.strength,
                "tiles": report.tiles,
                "tile_width": report.tile_width,
                "tile_height": report.tile_height,
                "overlap": report.overlap,
                "whole": report.whole,
                **written,
                "seconds": round(time.monotonic() - started, 3),
                "notes": [*photo.info.notes, *report.notes, *plan.notes],
            },
        )

    def reblend(self, context: JobContext, strength: float) -> Outcome:
        """Publish a finished job again with another strength, from the pixels it kept.

        Raises FileNotFoundError if it kept none.
        """
        options = replace(PhotoOptions.from_spec(context.job.spec), strength=strength)
        restored = np.load(context.workdir / RESTORED, mmap_mode="r", allow_pickle=False)
        photo = self._decoder.decode(context.input)
        plan = plan_output(photo, options.output_format)
        blended = replace(photo, pixels=blend(photo.pixels, restored, strength))
        result_path, written = _publish(context, blended, plan, options)
        context.keep(AFTER, lambda path: write_display_png(blended, path))
        before = context.job.result or {}
        notes = list(dict.fromkeys([*before.get("notes", ()), *plan.notes]))
        return Outcome(result_path, {**before, **written, "strength": strength, "notes": notes})


def _publish(context: JobContext, photo: Photo, plan: OutputPlan, options: PhotoOptions) -> tuple[str, dict[str, Any]]:
    """Publish the photo; returns its result path, and its format and size for the result's details."""
    size = 0

    def write(path: Path) -> None:
        nonlocal size
        encode(photo, path, format=options.output_format, quality=options.quality)
        size = path.stat().st_size

    result_path = context.publish(plan.suffix, write)
    return result_path, {"format": plan.format, "bytes": size}
