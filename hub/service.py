"""The hub as its faces see it: one object that the page, the API and the command line call.

It composes settings into stores, catalog, engine and job manager, and knows no HTTP and no widgets.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from hub.access import Access
from hub.catalog import Catalog
from hub.controls import controls
from hub.courtesy import step_back
from hub.disk import empty_folder
from hub.display import Display
from hub.engine import Engine
from hub.errors import TooLarge
from hub.fetch import Fetcher
from hub.installation import InstallHandler
from hub.jobs.executor import LocalExecutor
from hub.jobs.manager import JobManager, JobView
from hub.jobs.model import Job, Kind
from hub.jobs.store import JobStore
from hub.lifecycle import Lifecycle
from hub.live.service import Live
from hub.manifest import read_manifest
from hub.metrics import Metrics
from hub.models import Models
from hub.networks import Networks
from hub.parts import clip_terms, lease_terms, make_clip_decoder, make_decoder, restore_limits
from hub.readiness import Readiness
from hub.restoration import OUTPUT_FORMATS, PhotoHandler, PhotoOptions
from hub.results import FileStore
from hub.settings import Settings
from hub.stopping import Stopping
from hub.submission import Submissions
from hub.video.estimate import ClipEstimator, Estimate
from hub.video.handler import VideoHandler
from hub.video.options import CODECS, VideoOptions
from hub.video.restoration import check_clip

__all__ = ["CODECS", "OUTPUT_FORMATS", "VERSION", "Hub", "PhotoOptions", "VideoOptions"]

VERSION = "0.1.0"
INSTALL_WORKERS = 1
STOP_SECONDS = 7.0
"""How long running jobs may take to end, from the moment when the hub learns that it is to stop."""


class Hub:
    """The running service.

    Public parts: settings, files (FileStore), catalog (Catalog), fetcher (Fetcher), decoder (PhotoDecoder),
    clips (ClipDecoder), engine (Engine), manager (JobManager), display (Display), lifecycle (Lifecycle),
    models (Models), live (Live), access (Access), stopping (Stopping), metrics (Metrics), readiness (Readiness).
    """

    def __init__(self, settings: Settings) -> None:
        """Raises HubError (`bad_manifest`, `bad_database`), and OSError for folders that cannot be written."""
        self.settings = settings
        self.access = Access(settings)
        self.max_upload_bytes = settings.max_upload_mb * 1_000_000
        self._started = time.monotonic()
        self.stopping = Stopping()
        self.metrics = Metrics(VERSION)
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
        photos = PhotoHandler(
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
            {Kind.IMAGE: photos, Kind.VIDEO: videos, Kind.INSTALL: InstallHandler(self.catalog, self.fetcher)},
            {
                Kind.IMAGE: LocalExecutor(settings.image_workers),
                Kind.VIDEO: LocalExecutor(settings.video_workers),
                Kind.INSTALL: LocalExecutor(INSTALL_WORKERS),
            },
            queue_limit=settings.queue_limit,
            observer=self.metrics,
        )
        self._submissions = Submissions(self.catalog, self.fetcher, self.manager, auto_fetch=settings.auto_fetch)
        self.display = Display(
            self.files,
            self.manager,
            photos,
            self.clips,
            self._clip_terms,
            self.catalog,
            self._networks,
            self.decoder,
            limits=restore_limits(settings),
            overlap=settings.overlap,
        )
        self._estimator = ClipEstimator(
            self.clips,
            self.catalog,
            self._networks,
            self._clip_terms,
            self.manager,
            self.stopping,
        )
        self.lifecycle = Lifecycle(self._store, self.files, self.manager, lease_terms(settings))
        self.models = Models(settings, self.catalog, self._networks, self.manager)
        self.live = Live(settings, self.catalog, self._networks, self.fetcher, self.stopping)
        self.readiness = Readiness(
            settings,
            self.catalog,
            queue=self.manager.refusal,
            engine=self._networks.problem,
            database=self._store.waiting_count,
            can_fetch=self._submissions.can_fetch,
        )
        self.metrics.watch_jobs(self._store.counts)
        self.metrics.watch_engine(self._networks.status)
        self.metrics.watch_live(self.live.counters)
        self.metrics.watch_disk({"uploads": settings.data_dir, "results": settings.resolved_results_dir})
        self._warming = threading.Thread(target=self._warm, name="warm-up", daemon=True)

    @property
    def engine(self) -> Engine:
        """The one owner of the accelerator; made when first asked for."""
        return self._networks.engine

    def start(self) -> None:
        """Start workers, take unfinished jobs up again and warm the default model in the background."""
        self.files.claim()
        empty_folder(self._temp_dir)  # What a killed process left; nobody works yet.
        self.decoder.warm()
        self.manager.start()
        self.lifecycle.start()
        self._warming.start()

    def begin_stop(self) -> None:
        """Accept no more jobs and tell running ones to stop; returns at once, and may be called from any thread."""
        self.stopping.begin()
        self._networks.cease_warming()
        self.manager.begin_stop()
        self.lifecycle.begin_stop()

    def stop(self) -> None:
        """Stop in a few seconds; running jobs go back to the queue and run again after the next start."""
        self.begin_stop()
        self.manager.stop(self.stopping.left(STOP_SECONDS))
        self.lifecycle.stop()
        self.live.stop(self.stopping.left(STOP_SECONDS))
        self._networks.stop()
        if self._warming.is_alive():
            # A thread inside native code while the interpreter ends would abort the process.
            self._warming.join(self.stopping.left(STOP_SECONDS))
        self.decoder.close()
        self.clips.close()
        self._store.close()
        self.files.release()

    def submit_photo(
        self,
        stream: BinaryIO,
        filename: str,
        options: PhotoOptions,
        *,
        owner: str = "",
        idempotency_key: str | None = None,
    ) -> Job:
        """Check a photo and its options at once and queue it; on return the job survives a crash.

        stream: the file's bytes, read from the current position. Blocks: call it from a worker thread.
        owner: whose job it is. idempotency_key: with one that the owner has used before, for the same options and file,
        that first job is returned, which needs neither weights nor room.
        Raises InvalidInput (options, empty or damaged file), UnsupportedMedia, TooLarge, Conflict
        (`weights_not_installed`), Busy (`queue_full`, `disk_full`); then nothing is left on disk.
        """
        return self._submissions.take(
            Kind.IMAGE, stream, filename, options, self.decoder.probe, owner=owner, key=idempotency_key
        )

    def submit_video(
        self,
        stream: BinaryIO,
        filename: str,
        options: VideoOptions,
        *,
        owner: str = "",
        idempotency_key: str | None = None,
    ) -> Job:
        """Check a clip and its options at once and queue it; on return the job survives a crash.

        All as with `submit_photo`.
        Raises InvalidInput (options, empty or damaged file, a range outside the clip), UnsupportedMedia, TooLarge,
        Conflict (`weights_not_installed`), Busy (`queue_full`, `disk_full`); then nothing is left on disk.
        """

        def check(path: Path) -> None:
            check_clip(path, options, self._clip_terms, self.clips)

        return self._submissions.take(Kind.VIDEO, stream, filename, options, check, owner=owner, key=idempotency_key)

    def estimate_video(self, path: Path, options: VideoOptions) -> Estimate:
        """How long `submit_video` with this clip and these options would work, and how large its result would be.

        Takes seconds, and longer where other clips are being estimated. Raises HubError for what could not be
        restored with these options.
        """
        entry = self.catalog.resolve(options.task_type, options.model_name)
        return self._estimator.estimate(path, self.clips.probe(path), replace(options, model_name=entry.name))

    def resume(self, job_id: str) -> JobView:
        """Queue a failed clip again; it goes on after its last finished segment.

        Raises NotFound, Conflict (`not_resumable`), Busy (`queue_full`).
        """
        return self.manager.resume(job_id)

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

    def check_space(self, *, repeated: bool = False) -> None:
        """Raise Busy when the disk is too full for an upload, or for one that is only read again to be recognised."""
        self.files.check_space(0.5 if repeated else 1.0)

    def _warm(self) -> None:
        """Load what will be needed, so that the first to ask need not wait."""
        step_back()
        self._networks.warm()
        if self.settings.load_all_on_startup:
            self.models.load_all()
