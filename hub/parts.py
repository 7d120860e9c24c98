"""What the settings mean for the parts that every face shares: decoders, limits, the network's backend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hub.courtesy import step_back
from hub.errors import Busy, InvalidInput
from hub.jobs.model import Kind
from hub.leases import LeaseTerms
from hub.media.image import PhotoDecoder
from hub.media.video.decoder import ClipDecoder
from hub.restoration import RestoreLimits
from hub.video.terms import ClipTerms
from uformer.backends import Backend, OutOfMemory, open_backend
from uformer.checkpoint import Weights
from uformer.devices import suitable_extents

if TYPE_CHECKING:
    from hub.settings import Settings


def make_decoder(settings: Settings, temp_dir: Path) -> PhotoDecoder:
    """A decoder with the settings' limits; `temp_dir` exists and is its own."""
    return PhotoDecoder(
        max_pixels=int(settings.max_megapixels * 1e6),
        timeout=settings.decode_seconds,
        memory_bytes=settings.decode_memory_mb * 1_000_000,
        temp_dir=temp_dir,
    )


def restore_limits(settings: Settings) -> RestoreLimits:
    """The largest tile, and the largest photo that goes through whole.

    Raises InvalidInput (`no_such_device`) if the settings ask for what the machine lacks.
    """
    try:
        suitable = suitable_extents(settings.device)
    except ValueError as error:
        raise InvalidInput("no_such_device", str(error)) from error
    tile, whole = settings.tile_megapixels, settings.whole_megapixels
    return RestoreLimits(
        max_tile_pixels=suitable.tile if tile is None else int(tile * 1e6),
        max_whole_pixels=suitable.whole if whole is None else int(whole * 1e6),
    )


def make_clip_decoder(settings: Settings) -> ClipDecoder:
    """A decoder of clips with the settings' limits."""
    return ClipDecoder(
        max_pixels=int(settings.max_video_megapixels * 1e6),
        max_seconds=settings.max_video_seconds,
        max_frames=settings.max_video_frames,
        silence=settings.decode_seconds,
        memory_bytes=settings.video_memory_mb * 1_000_000,
    )


def clip_terms(settings: Settings) -> ClipTerms:
    """What the machine and its owner allow a clip."""
    return ClipTerms(
        max_tile_pixels=restore_limits(settings).max_tile_pixels,
        tile=settings.tile,
        overlap=settings.overlap,
        segment_seconds=settings.segment_seconds,
        memory_bytes=settings.video_memory_mb * 1_000_000,
        silence=settings.decode_seconds,
        min_free_bytes=settings.min_free_mb * 1_000_000,
        hardware=settings.hardware_encoders,
    )


def lease_terms(settings: Settings) -> LeaseTerms:
    """How long finished jobs and their files are kept."""
    return LeaseTerms(
        abandoned=60 * settings.abandoned_minutes,
        heartbeat=60 * settings.heartbeat_minutes,
        downloaded={Kind.IMAGE: 60 * settings.keep_image_minutes, Kind.VIDEO: 60 * settings.keep_video_minutes},
        failed=3600 * settings.keep_failed_hours,
        clean_up=60 * settings.clean_up_minutes if settings.clean_up else None,
    )


def make_backend(settings: Settings, weights: Weights, *, alone: bool = False) -> Backend:
    """The fastest way to run the network with these weights that the settings and the machine allow.

    alone: see `open_backend`.
    Raises InvalidInput (`no_such_device`) if the settings ask for what the machine lacks, Busy (`out_of_memory`).
    """
    try:
        return open_backend(
            weights,
            device=settings.device,
            precision=settings.precision,
            cpu_backend=settings.cpu_backend,
            threads=settings.threads,
            cache_dir=settings.resolved_graphs_dir,
            alone=alone,
            begin_thread=step_back,
        )
    except ValueError as error:
        raise InvalidInput("no_such_device", str(error)) from error
    except OutOfMemory as error:
        raise Busy("out_of_memory", f"{error} Try again when less is running.") from error
