"""What a page shows besides a job's state: parts and frames before and after, files, and the result blended anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hub.catalog import Catalog, ModelEntry, unavailable
from hub.choices import check_strength
from hub.engine import Priority
from hub.errors import Conflict, NotFound
from hub.jobs.manager import JobManager, JobView
from hub.jobs.model import Kind, Status
from hub.media.image import Photo, PhotoDecoder
from hub.media.video.decoder import ClipDecoder
from hub.networks import Networks
from hub.regions import Region, restore_region
from hub.restoration import AFTER, BEFORE, RESTORED, PhotoHandler, PhotoOptions, RestoreLimits
from hub.results import FileStore
from hub.video.handler import LATEST, SHOWN
from hub.video.options import VideoOptions
from hub.video.preview import restore_frame, shown
from hub.video.terms import ClipTerms
from hub.video.tracks import AFTER as SHOWN_AFTER
from hub.video.tracks import BEFORE as SHOWN_BEFORE
from uformer.restore import RestoreOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Display:
    """The before and after of jobs that were submitted with `display`."""

    def __init__(
        self,
        files: FileStore,
        manager: JobManager,
        photos: PhotoHandler,
        clips: ClipDecoder,
        terms: ClipTerms,
        catalog: Catalog,
        networks: Networks,
        decoder: PhotoDecoder,
        *,
        limits: RestoreLimits,
        overlap: int = 64,
    ) -> None:
        self._files = files
        self._manager = manager
        self._photos = photos
        self._clips = clips
        self._terms = terms
        self._catalog = catalog
        self._networks = networks
        self._decoder = decoder
        self._limits = limits
        self._overlap = overlap

    def preview_region(self, path: Path, left: float, top: float, options: PhotoOptions) -> tuple[Photo, Photo, Region]:
        """About 512 x 512 pixels of a photo near a place, before and after, and which they are.

        Takes its turn as a photo does; call it from a worker thread. Raises as `Hub.submit_photo`.
        """
        entry = self._installed(options)
        photo = self._decoder.decode(path)
        height, width = photo.pixels.shape[:2]
        region = Region.near(left, top, width, height)
        how = RestoreOptions(overlap=self._overlap, whole=True, strength=options.strength)
        with self._networks.session(entry.name, Priority.IMAGE) as session:
            restored = restore_region(photo, region, session, how, limits=self._limits)
        return region.of(photo), restored, region

    def preview_frame(
        self, path: Path, seconds: float, options: VideoOptions
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The frame of a clip that is shown at a presentation time, before and after; (H, W, 3) uint8 RGB.

        Takes its turn as a photo does; call it from a worker thread. Raises as `Hub.submit_video`.
        """
        entry = self._installed(options)
        info = self._clips.probe(path)
        frame = self._clips.frame_at(path, info, seconds + float(info.origin))
        with self._networks.session(entry.name, Priority.IMAGE) as session:
            restored = restore_frame(frame, info, session, options, self._terms)
        return shown(frame.pixels), shown(restored)

    def latest_frame(self, job_id: str) -> Path | None:
        """A small JPEG of the frame of a `display` clip that was finished last, if there is one; raises NotFound."""
        job = self._manager.view(job_id, Kind.VIDEO).job
        path = self._files.job_dir(job.id) / LATEST
        return path if path.is_file() else None

    def clips(self, job_id: str) -> tuple[Path, Path]:
        """Clips that any browser plays of a finished `display` clip, before and after; raises NotFound."""
        job = self._manager.view(job_id, Kind.VIDEO).job
        folder = self._files.job_dir(job.id)
        before, after = folder / SHOWN[SHOWN_BEFORE], folder / SHOWN[SHOWN_AFTER]
        if job.status is not Status.COMPLETED or job.result_path is None or not before.is_file():
            raise NotFound("no_display_files", "There are no before and after clips of this job.")
        return before, after if after.is_file() else self._files.resolve(job.result_path)

    def reblend(self, job_id: str, strength: float) -> JobView:
        """Blend a finished `display` job again with another strength, without running the network.

        Replaces the result file and `after.png`; seconds for large photos, so call it from a worker thread.
        Raises NotFound, InvalidInput (strength), Conflict (`not_completed`, `not_reblendable`).
        """
        check_strength(strength)
        job = self._manager.view(job_id, Kind.IMAGE).job
        if job.status is not Status.COMPLETED:
            raise Conflict(
                "not_completed", f"The strength can be changed once the job is completed; it is {job.status}."
            )
        if not (self._files.job_dir(job.id) / RESTORED).is_file():
            raise Conflict(
                "not_reblendable", "This job kept no pixels to blend again; restore the photo again instead."
            )
        return self._manager.replace_result(job.id, lambda context: self._photos.reblend(context, strength))

    @contextmanager
    def pictures(self, job_id: str) -> Iterator[tuple[Path, Path]]:
        """before.png and after.png (8-bit sRGB, full size) of a finished `display` job, kept while the block lasts.

        Raises NotFound.
        """
        job = self._manager.view(job_id, Kind.IMAGE).job
        folder = self._files.job_dir(job.id)
        if job.status is not Status.COMPLETED:
            raise NotFound("no_display_files", "There are no before and after pictures of this job.")
        with self._files.reading(folder / BEFORE) as before, self._files.reading(folder / AFTER) as after:
            yield before, after

    def _installed(self, options: PhotoOptions | VideoOptions) -> ModelEntry:
        """The model for these options. Raises InvalidInput, Conflict (`weights_not_installed`)."""
        options.check()
        entry = self._catalog.resolve(options.task_type, options.model_name)
        if not entry.installed:
            raise unavailable(entry)
        return entry
