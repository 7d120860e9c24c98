"""`python -m hub restore`: the same decoder, engine and encoder as the server's, without a server."""

from __future__ import annotations

import argparse
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.catalog import unavailable
from hub.cli.clips import Network, restore_clips
from hub.cli.models import download_bar, open_catalog, open_fetcher
from hub.cli.plan import Item, make_plan
from hub.cli.progress import PhotosBar
from hub.cli.targets import FORMATS, Targets, choose_target
from hub.engine import Engine, Priority
from hub.errors import HubError, InvalidInput
from hub.media.image import PhotoDecoder, encode, plan_output
from hub.parts import make_backend, make_decoder, restore_limits
from hub.restoration import RestoreLimits, restore_photo
from hub.settings import read_settings
from hub.video.handler import weights_digest
from uformer.checkpoint import CheckpointError, load_weights
from uformer.restore import RestoreOptions, blend

if TYPE_CHECKING:
    from hub.settings import Settings

# While one photo is in the network, another is decoded or encoded.
PHOTOS_AT_ONCE = 2
PHOTO_QUALITY = 95


def restore(args: argparse.Namespace, settings: Settings) -> int:
    """Restore what the arguments name; returns the exit status."""
    plan = make_plan(args.inputs, args.output)
    photos = [item for item in plan.items if not item.is_clip]
    clips = [item for item in plan.items if item.is_clip]
    if photos and args.quality == 0:
        raise InvalidInput("invalid_quality", "The quality of photos must be between 1 and 100, not 0.")
    for problem in plan.problems:
        sys.stderr.write(f"error: {problem}\n")
    failed = len(plan.problems)
    if plan.items:
        asked = {"tile": args.tile, "overlap": args.overlap, "precision": args.precision, "device": args.device}
        given = {name: value for name, value in asked.items() if value is not None}
        settings = read_settings(**{**settings.model_dump(exclude_unset=True), **given})
        network = _choose_network(args, settings)
        engine = Engine(lambda _: network.open(), batch_ms=settings.batch_ms)
        engine.start()
        try:
            # Held throughout: what is wrong with the model or the device shows before the first file.
            with engine.session(network.name, Priority.IMAGE):
                if photos:
                    failed += _restore_photos(photos, args, settings, engine, network.name)
                if clips:
                    failed += restore_clips(clips, args, settings, engine, network)
        finally:
            engine.stop()
    return 1 if failed else 0


def _restore_photos(
    items: Sequence[Item], args: argparse.Namespace, settings: Settings, engine: Engine, model: str
) -> int:
    """Restore photos and print the path of each; returns how many failed."""
    options = RestoreOptions(tile=settings.tile, overlap=settings.overlap, whole=args.whole)
    stopping = threading.Event()
    failed = 0
    decoder = make_decoder(settings, settings.data_dir / "tmp")
    try:
        with PhotosBar(len(items)) as bar, ThreadPoolExecutor(PHOTOS_AT_ONCE) as threads:
            job = PhotoJob(
                engine=engine,
                model=model,
                decoder=decoder,
                options=options,
                limits=restore_limits(settings),
                strength=args.strength,
                quality=PHOTO_QUALITY if args.quality is None else args.quality,
                targets=Targets(overwrite=args.overwrite),
                cancelled=stopping.is_set,
            )
            running = {threads.submit(job, item, bar.reporter(item)): item for item in items}
            try:
                for done in as_completed(running):
                    failed += not _tell(running[done], done, bar)
            except BaseException:
                stopping.set()
                decoder.close()
                threads.shutdown(cancel_futures=True)
                raise
    finally:
        decoder.close()
    return failed


def _tell(item: Item, done: Future[Written], bar: PhotosBar) -> bool:
    """Print how one photo ended; returns whether it ended well."""
    bar.reporter(item)(1.0, "")
    error = done.exception()
    if error is None:
        written = done.result()
        for note in written.notes:
            bar.say(f"{item.source}: {note}")
        bar.answer(str(written.path))
        return True
    if isinstance(error, HubError):
        bar.say(f"error: {item.source}: {error.message}")
    elif isinstance(error, OSError):
        bar.say(f"error: {item.source}: {error}")
    else:
        bar.say(f"error: {item.source}: unexpected, please report it:\n{''.join(traceback.format_exception(error))}")
    return False


def _choose_network(args: argparse.Namespace, settings: Settings) -> Network:
    """The model that the arguments mean; official weights are fetched if need be."""
    if args.weights is not None:
        try:
            weights = load_weights(args.weights)
        except (CheckpointError, OSError) as error:
            raise InvalidInput("weights_unusable", str(error)) from error
        task = args.task or "denoise"
        return Network(
            args.weights.name, task, _stamp(args, args.weights), lambda: make_backend(settings, weights, alone=True)
        )

    catalog = open_catalog(settings)
    entry = catalog.resolve(args.task, args.model)
    if not entry.installed:
        if entry.source is None or not settings.auto_fetch:
            raise unavailable(entry)
        with download_bar(entry.name) as report:
            open_fetcher(settings, catalog).fetch(entry.name, progress=report)
        entry = catalog.get(entry.name)
    return Network(
        entry.name,
        entry.task,
        _stamp(args, entry.path),
        lambda: make_backend(settings, catalog.load(entry.name), alone=True),
    )


def _stamp(args: argparse.Namespace, weights: Path | None) -> list[Any]:
    """What a resumed run must have in common with the one before: the weights, and how it was asked to run them."""
    return [weights_digest(weights), args.precision, args.device, args.tile, args.overlap]


@dataclass(frozen=True)
class Written:
    """A finished photo: where it is, and what the user should know about it."""

    path: Path
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PhotoJob:
    """Restores one photo after another with the same model and options; called from several threads."""

    engine: Engine
    model: str
    decoder: PhotoDecoder
    options: RestoreOptions
    limits: RestoreLimits
    strength: float
    quality: int
    targets: Targets
    cancelled: Callable[[], bool]

    def __call__(self, item: Item, progress: Callable[[float, str], None]) -> Written:
        """Decode, restore, blend, write. Raises HubError or OSError, leaving nothing behind."""
        if item.exact or item.target.suffix.lower() in FORMATS:
            # Told before the photo is decoded, so that a second run over a folder passes quickly over what is done.
            self.targets.claim(item.target, item.source)
        photo = self.decoder.decode(item.source)
        target, file_format = choose_target(item, photo.info.format, plan_output(photo).suffix)
        plan = plan_output(photo, file_format)
        self.targets.claim(target, item.source)
        with self.engine.session(self.model, Priority.IMAGE, cancelled=self.cancelled) as session:
            restored, report = restore_photo(
                photo, session, self.options, limits=self.limits, progress=progress, cancelled=self.cancelled
            )
        if self.strength < 1:
            # As the server does it, so that both give the same pixels.
            restored = replace(restored, pixels=blend(photo.pixels, restored.pixels, self.strength))
        with self.targets.writing(target) as partial:
            encode(restored, partial, format=file_format, quality=self.quality)
        return Written(target, (*photo.info.notes, *report.notes, *plan.notes))
