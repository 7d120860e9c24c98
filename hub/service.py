"""The hub as its faces see it: one object that the page, the API and the command line call.

It composes settings into stores, catalog, engine and job manager, and knows no HTTP and no widgets.
"""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hub.catalog import Catalog, ModelEntry, unavailable
from hub.choices import check_strength
from hub.controls import controls
from hub.errors import Conflict, NotFound, TooLarge
from hub.fetch import Fetcher
from hub.jobs.executor import LocalExecutor
from hub.jobs.manager import JobManager, JobView
from hub.jobs.model import Job, Kind, Status
from hub.jobs.store import JobStore
from hub.manifest import read_manifest
from hub.networks import Networks
from hub.parts import clip_terms, make_clip_decoder, make_decoder, restore_limits
from hub.restoration import (
    AFTER,
    BEFORE,
    OUTPUT_FORMATS,
    RESTORED,
    PhotoHandler,
    PhotoOptions,
)
from hub.results import FileStore
from hub.settings import Settings
from hub.video.handler import LATEST, SHOWN, VideoHandler
from hub.video.options import CODECS, VideoOptions
from hub.video.preview import restore_frame, shown
from hub.video.restoration import check_clip
from hub.video.tracks import AFTER as SHOWN_AFTER
from hub.video.tracks import BEFORE as SHOWN_BEFORE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hub.engine import Engine

__all__ = ["CODECS", "OUTPUT_FORMATS", "VERSION", "Hub", "PhotoOptions", "VideoOptions"]

VERSION = "0.1.0"
STOP_SECONDS = 10.0


class Hub:
    """The running service.

    Public parts: settings, files (FileStore), catalog (Catalog), fetcher (Fetcher), decoder (PhotoDecoder),
    clips (ClipDecoder), engine (Engine), manager (JobManager).
    """

    def __init__(self, settings: Settings) -> None:
        """Raises HubError (`bad_manifest`, `bad_database`), and OSError for folders that cannot be written."""
        self.settings = settings
        self.max_upload_bytes = settings.max_upload_mb * 1_000_000
        self._started = time.monotonic()
        self._temp_dir = settings.data_dir / "tmp"
        fetched_dir = settings.data_dir / "weights"
        for folder in (self._temp_dir, fetched_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self.files = FileStore(
            settings.data_dir,
            settings.resolved_results_dir,
            max_upload_bytes=self.max_upload_bytes,
            min_free_bytes=settings.min_free_mb * 1_000_000,
        )
        read_manifest(settings.weights_dir)  # What is wrong with it shows at the start.
        self.catalog = Catalog(settings.weights_dir, fetched_dir)
        self.fetcher = Fetcher(self.catalog, fetched_dir, settings.fetch_urls)
        self.decoder = make_decoder(settings, self._temp_dir)
        self._networks = Networks(settings, self.catalog)
        self._photos = PhotoHandler(
            self.catalog,
            self.fetcher,
            self.decoder,
            self._networks,
            limits=restore_limits(settings),
            tile=settings.tile,
            overlap=settings.overlap,
            auto_fetch=settings.auto_fetch,
        )
        self.clips = make_clip_decoder(settings)
        self._clip_terms = clip_terms(settings)
        videos = VideoHandler(
            self.catalog,
            self.fetcher,
            self.clips,
            self._networks,
            terms=self._clip_terms,
            auto_fetch=settings.auto_fetch,
        )
        self._store = JobStore(settings.resolved_database_url)
        self.manager = JobManager(
            self._store,
            self.files,
            {Kind.IMAGE: self._photos, Kind.VIDEO: videos},
            {
                Kind.IMAGE: LocalExecutor(settings.image_workers),
                Kind.VIDEO: LocalExecutor(settings.video_workers),
            },
            queue_limit=settings.queue_limit,
        )
        self._warming = threading.Thread(target=self._networks.warm, name="warm-up", daemon=True)

    @property
    def engine(self) -> Engine:
        """The one owner of the accelerator.

        Made when first asked for: it brings PyTorch in, and the server's start must not wait for that.
        """
        return self._networks.engine

    def start(self) -> None:
        """Start workers, take unfinished jobs up again and warm the default model in the background."""
        self.files.claim()
        self._clear_temp_dir()
        self.decoder.warm()
        self.manager.start()
        self._warming.start()

    def stop(self) -> None:
        """Stop in a few seconds; running jobs go back to the queue and run again after the next start."""
        self._networks.cease_warming()
        self.manager.stop(STOP_SECONDS)
        self._networks.stop()
        if self._warming.is_alive():
            # A thread inside native code while the interpreter ends would abort the process.
            self._warming.join(STOP_SECONDS)
        self.decoder.close()
        self.clips.close()
        self._store.close()
        self.files.release()

    def submit_photo(self, stream: BinaryIO, filename: str, options: PhotoOptions) -> Job:
        """Check a photo and its options at once and queue it; on return the job survives a crash.

        stream: the file's bytes, read from the current position. Blocks: call it from a worker thread.
        Raises InvalidInput (options, empty or damaged file), UnsupportedMedia, TooLarge, Conflict
        (`weights_not_installed`), Busy (`queue_full`, `disk_full`); then nothing is left on disk.
        """
        options.check()
        entry = self.catalog.resolve(options.task_type, options.model_name)
        self._check_weights(entry)
        spec = replace(options, model_name=entry.name).to_spec()
        return self.manager.submit(Kind.IMAGE, entry.task, spec, filename, stream, check=self.decoder.probe)

    def submit_video(self, stream: BinaryIO, filename: str, options: VideoOptions) -> Job:
        """Check a clip and its options at once and queue it; on return the job survives a crash.

        stream: the file's bytes, read from the current position. Blocks: call it from a worker thread.
        Raises InvalidInput (options, empty or damaged file, a range outside the clip), UnsupportedMedia, TooLarge,
        Conflict (`weights_not_installed`), Busy (`queue_full`, `disk_full`); then nothing is left on disk.
        """
        options.check()
        entry = self.catalog.resolve(options.task_type, options.model_name)
        self._check_weights(entry)
        options = replace(options, model_name=entry.name)
        return self.manager.submit(
            Kind.VIDEO,
            entry.task,
            options.to_spec(),
            filename,
            stream,
            check=lambda path: check_clip(path, options, self._clip_terms, self.clips),
        )

    def resume(self, job_id: str) -> JobView:
        """Queue a failed clip again; it goes on after its last finished segment.

        Raises NotFound, Conflict (`not_resumable`), Busy (`queue_full`).
        """
        return self.manager.resume(job_id)

    def preview_frame(
        self, path: Path, seconds: float, options: VideoOptions
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The frame of a clip that is shown at a presentation time, before and after; (H, W, 3) uint8 RGB.

        Takes its turn as a photo does; call it from a worker thread. Raises as `submit_video`.
        """
        from hub.engine import Priority

        options.check()
        entry = self.catalog.resolve(options.task_type, options.model_name)
        if not entry.installed:
            raise unavailable(entry)
        info = self.clips.probe(path)
        frame = self.clips.frame_at(path, info, seconds + float(info.origin))
        with self._networks.session(entry.name, Priority.IMAGE) as session:
            restored = restore_frame(frame, info, session, options, self._clip_terms)
        return shown(frame.pixels), shown(restored)

    def latest_frame(self, job_id: str) -> Path | None:
        """A small JPEG of the frame that a running `display` clip finished last, if there is one; raises NotFound."""
        path = self.files.job_dir(self.manager.view(job_id, Kind.VIDEO).job.id) / LATEST
        return path if path.is_file() else None

    def display_clips(self, job_id: str) -> tuple[Path, Path]:
        """Clips that any browser plays of a finished `display` clip, before and after; raises NotFound."""
        job = self.manager.view(job_id, Kind.VIDEO).job
        folder = self.files.job_dir(job.id)
        before, after = folder / SHOWN[SHOWN_BEFORE], folder / SHOWN[SHOWN_AFTER]
        if job.status is not Status.COMPLETED or job.result_path is None or not before.is_file():
            raise NotFound("no_display_files", "There are no before and after clips of this job.")
        return before, after if after.is_file() else self.files.resolve(job.result_path)

    def view(self, job_id: str, kind: Kind | None = None) -> JobView:
        """One job's state, progress (0..100), message, place in the queue (1 = next) and seconds left.

        Raises NotFound for an unknown id, or the id of another kind.
        """
        return self.manager.view(job_id, kind)

    def cancel(self, job_id: str) -> JobView:
        """Ask a job to stop; a finished one stays as it is. Raises NotFound."""
        return self.manager.cancel(job_id)

    def result_file(self, result_path: str) -> Path:
        """The file behind a result path such as /static_results/images/...; raises NotFound."""
        return self.files.resolve(result_path)

    def reblend(self, job_id: str, strength: float) -> JobView:
        """Blend a finished `display` job again with another strength, without running the network.

        Replaces the result file and `after.png`; seconds for large photos, so call it from a worker thread.
        Raises NotFound, InvalidInput (strength), Conflict (`not_completed`, `not_reblendable`).
        """
        check_strength(strength)
        job = self.manager.view(job_id, Kind.IMAGE).job
        if job.status is not Status.COMPLETED:
            raise Conflict(
                "not_completed", f"The strength can be changed once the job is completed; it is {job.status}."
            )
        if not (self.files.job_dir(job.id) / RESTORED).is_file():
            raise Conflict(
                "not_reblendable", "This job kept no pixels to blend again; restore the photo again instead."
            )
        return self.manager.replace_result(job.id, lambda context: self._photos.reblend(context, strength))

    def display_files(self, job_id: str) -> tuple[Path, Path]:
        """before.png and after.png (8-bit sRGB, full size) of a finished `display` job; raises NotFound."""
        job = self.manager.view(job_id, Kind.IMAGE).job
        folder = self.files.job_dir(job.id)
        before, after = folder / BEFORE, folder / AFTER
        if job.status is not Status.COMPLETED or not (before.is_file() and after.is_file()):
            raise NotFound("no_display_files", "There are no before and after pictures of this job.")
        return before, after

    def controls(self) -> dict[str, Any]:
        """All that a page needs to build itself: the body of /api/available_controls."""
        return controls(self.settings, self.catalog)

    def health(self) -> dict[str, Any]:
        """The body of /health; reads memory only, so it answers while everything else is busy."""
        return {
            "status": "ok",
            "version": VERSION,
            "uptime_seconds": round(time.monotonic() - self._started, 1),
        }

    def check_body_size(self, size: int) -> None:
        """Raise TooLarge for a request's body of `size` bytes."""
        if size > self.max_upload_bytes:
            raise TooLarge(
                "upload_too_large",
                f"The upload is larger than the {self.settings.max_upload_mb} MB allowed here.",
                {"max_bytes": self.max_upload_bytes},
            )

    def check_space(self) -> None:
        """Raise Busy when the disk is too full for an upload."""
        self.files.check_space()

    def _clear_temp_dir(self) -> None:
        """Delete what a killed process left; nobody works yet."""
        for path in self._temp_dir.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _check_weights(self, entry: ModelEntry) -> None:
        """Raise Conflict unless the weights are here, or can be fetched when the job runs."""
        if entry.installed:
            return
        if entry.source is None or not self.settings.auto_fetch or not self.fetcher.reachable(entry.name):
            raise unavailable(entry)
