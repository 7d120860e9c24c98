"""Upload and result files: whole or absent, named safely, findable by nobody who was not told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock, Timeout

from hub import inventory
from hub.disk import (
    PINNED,
    disk_full,
    disk_full_is_busy,
    make_folder,
    pinned,
    remove_folder,
    sync_folder,
    write_whole,
)
from hub.errors import Conflict, NotFound
from hub.filenames import clean_name
from hub.inventory import STAGED, ResultFile, find_result, find_results
from hub.jobs.model import Job, is_job_id
from hub.readers import Readers
from hub.result_names import KIND_FOLDERS, parts_of, result_name, result_prefix, result_url, results_folder, secret_of
from hub.uploads import Readable, copy_upload


class FileStore:
    """The hub's uploads, working folders and results on one disk.

    data_dir: holds `uploads/<job id>/<cleaned name>` and `jobs/<job id>/`.
    results_dir: holds `images` and `videos`, in them `<task>/processed/<name>`, served at `/static_results/`.
    min_free_bytes: uploads are refused when less than this is free.

    What is being read stays until it has been read, whoever deletes it.
    """

    def __init__(self, data_dir: Path, results_dir: Path, *, max_upload_bytes: int, min_free_bytes: int) -> None:
        self._data = data_dir.absolute()
        self._uploads = self._data / "uploads"
        self._jobs = self._data / "jobs"
        self._results = results_dir.absolute()
        self._max_upload_bytes = max_upload_bytes
        self._min_free_bytes = min_free_bytes
        self._readers = Readers()
        for folder in (self._uploads, self._jobs, self._results):
            make_folder(folder)
        # Started and stopped by whichever thread the server's lifespan runs in.
        self._lock = FileLock(self._data / "hub.lock", thread_local=False)

    def claim(self, timeout: float = 5.0) -> None:
        """Keep every other hub off this data folder until `release` or this process ends. Raises Conflict."""
        try:
            self._lock.acquire(timeout=timeout)
        except Timeout:
            message = f"Another hub is running on {self._data}. Stop it, or set HUB_DATA_DIR to another folder."
            raise Conflict("data_dir_in_use", message) from None

    def release(self) -> None:
        """Let another hub have the data folder."""
        self._lock.release()

    def save_upload(self, job_id: str, filename: str, stream: Readable) -> Path:
        """Copy `stream` to disk, flushed for good, or leave nothing.

        Raises TooLarge, InvalidInput for an empty file, Busy when the disk is nearly full.
        """
        folder = self._uploads / _checked_id(job_id)
        self.check_space()
        try:
            with disk_full_is_busy():
                folder.mkdir()
                path = folder / clean_name(filename)
                with path.open("xb") as file:
                    copy_upload(stream, file, self._max_upload_bytes, self.check_space)
                    file.flush()
                    os.fsync(file.fileno())
                sync_folder(folder)
                sync_folder(self._uploads)
        except BaseException:
            remove_folder(folder)
            raise
        return path

    def check_space(self, share: float = 1.0) -> None:
        """Raise Busy when less than this share of what is to be free on the disks of uploads and results is free."""
        if self.free_bytes() < share * self._min_free_bytes:
            raise disk_full()

    def upload(self, job_id: str) -> Path:
        """Where the job's upload lies. Raises NotFound."""
        folder = self._uploads / _checked_id(job_id)
        files = [path for path in folder.iterdir() if not path.name.startswith(PINNED)] if folder.is_dir() else []
        if len(files) != 1:
            raise NotFound("upload_missing", "The uploaded file is no longer on the server; please send it again.")
        return files[0]

    def has_upload(self, job_id: str) -> bool:
        """Whether the job's upload is there."""
        try:
            return any((self._uploads / _checked_id(job_id)).iterdir())
        except FileNotFoundError:
            return False

    def job_dir(self, job_id: str) -> Path:
        """Where the job's own working folder is, if it has one."""
        return self._jobs / _checked_id(job_id)

    def make_job_dir(self, job_id: str) -> Path:
        """The job's own working folder, made if need be."""
        folder = self.job_dir(job_id)
        folder.mkdir(exist_ok=True)
        return folder

    def publish(
        self, job: Job, suffix: str, write: Callable[[Path], object], *, check: Callable[[], None] | None = None
    ) -> str:
        """Let `write` make the file under a hidden name, flush it, move it into place; return its URL path.

        A result that this job had before, whatever its suffix, is replaced.
        check: called last before the move; what it raises prevents it.
        """
        target = self._result_file(job, suffix)
        write_whole(target, write, check)
        if job.attempts != 1:  # Only an earlier run can have left a result of another suffix.
            self._remove_results(job, but=target.name)
        return result_url(job, target.name)

    def stage(self, job: Job, suffix: str, write: Callable[[Path], object]) -> str:
        """As `publish`, but the result waits under a hidden name for `put_staged`; returns its URL path to be."""
        target = self._result_file(job, suffix)
        write_whole(target.with_name(f"{STAGED}{job.id}{suffix}"), write)
        return result_url(job, target.name)

    def keep(self, job_id: str, name: str, write: Callable[[Path], object], *, staged: bool = False) -> None:
        """Let `write` make the file `name` of the job's working folder; it is put in place whole, for good.

        name: may lie in folders of its own, such as `segments/0001.mp4`; they are made if need be.
        staged: it waits under a hidden name for `put_staged`.
        """
        target = self.job_dir(job_id) / name
        make_folder(target.parent)
        write_whole(_staged(target) if staged else target, write)

    def unkeep(self, job_id: str, name: str) -> None:
        """Delete a file of the job's working folder, if it is there, for good."""
        path = self.job_dir(job_id) / name
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)

    def put_staged(self, job: Job, result_path: str, kept: Collection[str]) -> None:
        """Put the staged result and the staged files of the working folder in place; those in place stay."""
        target = self._result_file(job, Path(unquote(result_path)).suffix)
        folder = self.job_dir(job.id)
        moves = [(target.with_name(f"{STAGED}{job.id}{target.suffix}"), target)]
        for staged, final in [*moves, *((_staged(folder / name), folder / name) for name in kept)]:
            if staged.exists():
                staged.replace(final)
                sync_folder(final.parent)
        self._remove_results(job, but=target.name)

    def discard_staged(self, job: Job) -> None:
        """Delete what was staged and is not to be put in place."""
        folders = (self._results / results_folder(job), self.job_dir(job.id))
        for pattern, folder in zip((f"{STAGED}{job.id}*", f"{STAGED}*"), folders, strict=True):
            for path in folder.rglob(pattern):
                path.unlink(missing_ok=True)

    def resolve(self, result_path: str) -> Path:
        """The result file behind a URL path, percent-encoded or not. Raises NotFound for all that is not a result."""
        path = find_result(self._results, result_path)
        if path is None or self._readers.retired(self._key(path)):
            raise _no_result()
        return path

    @contextmanager
    def reading(self, path: Path | str) -> Iterator[Path]:
        """A file as it is now, kept from being deleted as long as the block lasts, with all other files of its job.

        path: a result's URL path, or a file that this store has named: result, upload or of a working folder.
        What is yielded is a name for this reader alone; another version that takes the file's place is not seen by it.
        Raises NotFound if it is not there, or about to go. A file deleted meanwhile goes when the last block ends, on
        that block's thread.
        """
        file = self.resolve(path) if isinstance(path, str) else path.absolute()
        with self._readers.hold(self._key(file)) as held:
            if not held or not file.is_file():
                raise _no_result()
            with ExitStack() as stack:
                try:
                    version = stack.enter_context(pinned(file))
                except FileNotFoundError as error:  # It was replaced by one of another format this very moment.
                    raise _no_result() from error
                yield version

    def is_read(self, job: Job) -> bool:
        """Whether a file of the job is being read."""
        return self._readers.any(_keys(job))

    def being_read(self) -> set[str]:
        """Ids and secrets of all jobs of which files are being read."""
        return self._readers.keys()

    def delete_result(self, job: Job) -> None:
        """Delete what the job published, if anything."""
        parts = parts_of(job.result_path or "")
        if parts is not None:
            (self._results / parts).unlink(missing_ok=True)
        else:
            self._remove_results(job, but=None)

    def delete(self, job: Job) -> None:
        """Delete all files of the job, or let the last reader do so; nothing happens where there are none.

        From now on they are not found. The upload goes last: while its folder is there, a sweep after a crash can
        still tell what was to be deleted.
        """

        def delete() -> None:
            self.delete_result(job)
            remove_folder(self._jobs / _checked_id(job.id))
            remove_folder(self._uploads / _checked_id(job.id))

        self._readers.retire(_keys(job), delete)

    def result_files(self) -> list[ResultFile]:
        """Every finished result there is, its job known or not; files that are no results do not count."""
        return find_results(self._results)

    def delete_orphan(self, file: ResultFile) -> bool:
        """Delete a result that belongs to no job; False if it, or another file of the job it had, is being read."""
        if self._readers.any([file.secret]) or self._readers.retired(file.secret):
            return False
        self._readers.retire([file.secret], lambda: file.path.unlink(missing_ok=True))
        return True

    def folder_sizes(self) -> dict[str, int]:
        """Bytes of upload and working folder together, by the id of their job."""
        return inventory.folder_sizes(self._uploads, self._jobs)

    def free_bytes(self) -> int:
        """What is free on the fuller of the disks of uploads and results."""
        return min(shutil.disk_usage(folder).free for folder in (self._uploads, self._results))

    def stored_ids(self) -> set[str]:
        """Ids of all jobs that have an upload or a working folder."""
        return inventory.stored_ids(self._uploads, self._jobs)

    def sweep(self, known_ids: Collection[str]) -> None:
        """Delete what a crash left: folders of jobs not in `known_ids`, and hidden files that nobody uses any more.

        Only for a time when nothing is being uploaded, run or read.
        """
        inventory.sweep(self._results, (self._uploads, self._jobs), known_ids)

    def _result_file(self, job: Job, suffix: str) -> Path:
        """Where the result of a job lies, in a folder that is there."""
        folder = self._results / results_folder(job)
        make_folder(folder)
        return folder / result_name(job, suffix)

    def _key(self, path: Path) -> str:
        """By which key the file's readers are counted."""
        for root in (self._jobs, self._uploads):
            if path.is_relative_to(root):
                return _checked_id(path.relative_to(root).parts[0])
        if not path.is_relative_to(self._results):
            raise ValueError(f"{path} is no file of a job.")
        return secret_of(path.name) or str(path)

    def _remove_results(self, job: Job, *, but: str | None) -> None:
        """Delete whatever result the job has but the one of this name; looks through the whole folder."""
        if job.kind not in KIND_FOLDERS:
            return
        folder = self._results / results_folder(job)
        prefixes = (result_prefix(job), f"{STAGED}{job.id}")
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            if path.name.startswith(prefixes) and path.name != but:
                path.unlink(missing_ok=True)


def _keys(job: Job) -> tuple[str, str]:
    """By which keys the readers of the job's files are counted: those of its folders, and those of its result."""
    return job.id, job.secret


def _no_result() -> NotFound:
    return NotFound("result_not_found", "There is no such result; it may have been deleted.")


def _staged(path: Path) -> Path:
    """Where a file waits that is to take the place of `path`."""
    return path.with_name(f"{STAGED}{path.name}")


def _checked_id(job_id: str) -> str:
    if not is_job_id(job_id):
        raise NotFound("task_not_found", f"There is no task {job_id!r}.")
    return job_id
