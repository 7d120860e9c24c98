"""Looks for results on disk: one by its URL path, or all there are."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hub.jobs.model import Kind
from hub.result_names import KIND_FOLDERS, parts_of, secret_of


@dataclass(frozen=True)
class ResultFile:
    """A finished result; `secret` is that of its job, `size` in bytes."""

    kind: Kind
    path: Path
    secret: str
    size: int


def find_result(results_dir: Path, result_path: str) -> Path | None:
    """The file behind a URL path, percent-encoded or not; None for all that is not a file below `results_dir`."""
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
