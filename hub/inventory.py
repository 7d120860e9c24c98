"""Looks for what is on disk: results, one by its URL path or all there are, and folders of jobs."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hub.disk import PARTIAL, PINNED, TRASH, folder_bytes, remove_folder
from hub.jobs.model import Kind, is_job_id
from hub.result_names import KIND_FOLDERS, parts_of, secret_of

STAGED = ".staged-"
"""Begins the name of a file that waits to take the place of another."""
_HIDDEN = (PARTIAL, PINNED, STAGED)


@dataclass(frozen=True)
class ResultFile:
    """A finished result; `secret` is that of its job, `size` in bytes."""

    kind: Kind
    path: Path
    secret: str
    size: int


def find_result(results_dir: Path, result_path: str) -> Path | None:
    """The file behind a URL path, percent-encoded or not; None for all that is no result's."""
    parts = parts_of(result_path)
    if parts is None:
        return None
    path = results_dir
    for part in parts.parts:
        path /= part
        try:
            if path.is_symlink():
                return None
        except OSError:  # Such as a name longer than the file system allows.
            return None
    return path if path.is_file() else None


def find_results(results_dir: Path) -> list[ResultFile]:
    """Every finished result, its job known or not; files that are no results do not count."""
    found: list[ResultFile] = []
    for kind, folder in KIND_FOLDERS.items():
        for path in results_dir.glob(f"{folder}/*/processed/[!.]*"):
            secret = secret_of(path.name)
            with suppress(FileNotFoundError):  # Replaced or deleted this very moment.
                if secret is not None and path.is_file() and not path.is_symlink():
                    found.append(ResultFile(kind, path, secret, path.stat().st_size))
    return found


def stored_ids(*roots: Path) -> set[str]:
    """Ids of all jobs that have a folder in one of these."""
    return {folder.name for root in roots for folder in root.iterdir() if is_job_id(folder.name)}


def folder_sizes(*roots: Path) -> dict[str, int]:
    """Bytes of a job's folders in these together, by the job's id."""
    return {job_id: sum(folder_bytes(root / job_id) for root in roots) for job_id in stored_ids(*roots)}


def sweep(results_dir: Path, roots: Collection[Path], known_ids: Collection[str]) -> None:
    """Delete what a crash left: folders of jobs not in `known_ids`, and hidden files of results and working folders."""
    for root in roots:
        for folder in root.iterdir():
            if folder.name.startswith(TRASH):
                shutil.rmtree(folder)
            elif is_job_id(folder.name) and folder.name not in known_ids:
                remove_folder(folder)
    for hidden in _HIDDEN:
        in_folders = (path for root in roots for path in root.rglob(f"{hidden}*"))
        for left in (*results_dir.glob(f"*/*/processed/{hidden}*"), *in_folders):
            left.unlink()
