"""Restoring one photo: the job handler, and the function that the command line shares with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hub.catalog import unavailable
from hub.errors import Cancelled, HubError, InvalidInput
from hub.jobs.manager import JobContext, Outcome
from hub.media.image import Photo, PhotoDecoder, encode, output_suffix, write_display_png

if TYPE_CHECKING:  # These import torch, which takes seconds: the server must listen before.
    from numpy.typing import NDArray

    from hub.catalog import Catalog, ModelEntry
    from hub.engine import Engine
    from hub.fetch import Fetcher
    from uformer.restore import RestoreOptions, RestoreReport, TileRunner

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
    display: also write the page's before and after pictures and keep what `Hub.reblend` needs.
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


def check_strength(strength: float) -> None:
    """Raise InvalidInput unless `strength` is from 0 to 1."""
    if not 0.0 <= strength <= 1.0:  # Also refuses NaN.
        raise InvalidInput("invalid_strength", f"The strength must be between 0 and 1, not {strength}.")


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
    Raises Cancelled when `cancelled` says so, HubError `out_of_memory` when even the smallest tile does not fit.
    """
    from uformer.backends import OutOfMemory
    from uformer.restore import RestoreCancelled, Restorer

    def told(done: int, total: int) -> None:
        if progress is not None:
            progress(done / total, f"Restoring tile {min(done + 1, total)} of {total}")

    restorer = Restorer(runner, max_tile_pixels=limits.max_tile_pixels, max_whole_pixels=limits.max_whole_pixels)
    try:
        restored = restorer.restore(photo.pixels, options, progress=told, cancelled=cancelled)
    except RestoreCancelled as error:
        raise Cancelled from error
    except OutOfMemory as error:
        raise HubError(
            "out_of_memory",
            "The machine has too little free memory for this photo with this model; "
            "try a smaller model or photo, or try again when less is running.",
        ) from error
    return replace(photo, pixels=restored.image), restored.report


class _Stage:
    """A part of a job's progress bar."""

    def __init__(self, context: JobContext, begin: float, end: float) -> None:
        self._context = context
        self._begin = begin
        self._end = end

    def report(self, fraction: float, message: str) -> None:
        self._context.report(self._begin + fraction * (self._end - self._begin), message)


class PhotoHandler:
    """Restores one uploaded photo: fetch the weights if need be, decode, restore, encode, publish.

    engine: called when a job first needs it. auto_fetch: whether weights may be downloaded.
    """

    def __init__(
        self,
        catalog: Catalog,
        fetcher: Fetcher,
        decoder: PhotoDecoder,
        engine: Callable[[], Engine],
        *,
        limits: RestoreLimits,
        tile: int | None = None,
        overlap: int = 64,
        auto_fetch: bool = True,
    ) -> None:
        self._catalog = catalog
        self._fetcher = fetcher
        self._decoder = decoder
        self._engine = engine
        self._limits = limits
        self._tile = tile
        self._overlap = overlap
        self._auto_fetch = auto_fetch

    def __call__(self, context: JobContext) -> Outcome:
        """Run one job; the spec holds PhotoOptions whose model has been chosen."""
        from hub.engine import Priority
        from uformer.restore import RestoreOptions, blend

        started = time.monotonic()
        options = PhotoOptions.from_spec(context.job.spec)
        entry = self._catalog.resolve(options.task_type, options.model_name)
        begin = 0.0
        if not entry.installed:
            if not self._auto_fetch:  # They were here when the job was accepted.
                raise unavailable(entry)
            begin = 0.5
            self._fetch(entry, context, _Stage(context, 0.0, begin))
        rest = 1.0 - begin

        context.report(begin, "Reading the photo")
        photo = self._decoder.decode(context.input)
        context.check_cancelled()

        context.report(begin + 0.05 * rest, f"Loading the model {entry.text}")
        with self._engine().session(entry.name, Priority.IMAGE, cancelled=context.cancelled) as session:
            restored, report = restore_photo(
                photo,
                session,
                RestoreOptions(tile=self._tile, overlap=self._overlap, whole=not options.use_patch_processing),
                limits=self._limits,
                progress=_Stage(context, begin + 0.08 * rest, begin + 0.9 * rest).report,
                cancelled=context.cancelled,
            )

        context.report(begin + 0.9 * rest, "Writing the result")
        if options.display:
            _save_array(restored.pixels, context.workdir / RESTORED)
        if options.strength < 1:
            # The same blend as the one of a later change of strength, so that both give the same pixels.
            restored = replace(restored, pixels=blend(photo.pixels, restored.pixels, options.strength))
        result_path, written = self._write(context, restored, options)
        if options.display:
            context.report(begin + 0.95 * rest, "Preparing the comparison")
            _save_picture(photo, context.workdir / BEFORE)
            _save_picture(restored, context.workdir / AFTER)
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
                "notes": [*photo.info.notes, *report.notes],
            },
        )

    def reblend(self, context: JobContext, strength: float) -> Outcome:
        """Publish a finished job again with another strength, from the pixels it kept.

        Raises FileNotFoundError if it kept none.
        """
        from uformer.restore import blend

        options = replace(PhotoOptions.from_spec(context.job.spec), strength=strength)
        restored = np.load(context.workdir / RESTORED, mmap_mode="r", allow_pickle=False)
        photo = self._decoder.decode(context.input)
        blended = replace(photo, pixels=blend(photo.pixels, restored, strength))
        result_path, written = self._write(context, blended, options)
        _save_picture(blended, context.workdir / AFTER)
        return Outcome(result_path, {**(context.job.result or {}), **written, "strength": strength})

    def _fetch(self, entry: ModelEntry, context: JobContext, stage: _Stage) -> None:
        def told(received: int, total: int | None) -> None:
            if total:
                stage.report(
                    received / total, f"Downloading {entry.text}: {received / 1e6:.0f} of {total / 1e6:.0f} MB"
                )
            else:
                stage.report(0.0, f"Downloading {entry.text}: {received / 1e6:.0f} MB")

        stage.report(0.0, f"Downloading {entry.text}")
        self._fetcher.fetch(entry.name, progress=told, cancelled=context.cancelled)

    def _write(self, context: JobContext, photo: Photo, options: PhotoOptions) -> tuple[str, dict[str, Any]]:
        """Publish the photo; returns its result path, and its format and size for the result's details."""
        suffix = output_suffix(photo, options.output_format)
        size = 0

        def write(path: Path) -> None:
            nonlocal size
            encode(photo, path, format=options.output_format, quality=options.quality)
            size = path.stat().st_size

        result_path = context.publish(suffix, write)
        return result_path, {"format": _FORMATS.get(suffix, suffix.lstrip(".")), "bytes": size}


def _save_array(pixels: NDArray[Any], path: Path) -> None:
    """Write an .npy file under another name first: after a crash it is there whole or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, pixels, allow_pickle=False)
    partial.replace(path)


def _save_picture(photo: Photo, path: Path) -> None:
    """Write a display PNG likewise; the page may be reading the one it replaces."""
    partial = path.with_name(f"partial-{path.name}")
    write_display_png(photo, partial)
    partial.replace(path)


_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff"}
