"""The hub's calls, built from plain values."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, get_type_hints
from urllib.parse import quote

from hub.client.effects import Call
from hub.client.model import Kind, Options, PhotoOptions, VideoOptions
from hub.client.sources import Upload

_ALLOWED: Mapping[Kind, frozenset[str]] = {
    "image": frozenset(get_type_hints(PhotoOptions)),
    "video": frozenset(get_type_hints(VideoOptions)),
}
_KNOWN = frozenset(get_type_hints(Options))
_NOUNS: Mapping[Kind, str] = {"image": "photos", "video": "clips"}
AVAILABLE_CONTROLS = Call("GET", "/api/available_controls")
MODEL_LOADING_STRATEGY = Call("GET", "/api/model_loading_strategy")
LOADED_MODELS_STATUS = Call("GET", "/api/loaded_models_status")
CACHE_STATUS = Call("GET", "/api/cache_status")
HEALTH = Call("GET", "/health")
READY = Call("GET", "/ready")
# The hub says that it is alive every 15 seconds.
_SILENT_SECONDS = 40.0


def process(upload: Upload, kind: Kind, task: str, options: Mapping[str, Any], key: str | None) -> Call:
    """Send a file to be restored.

    key: for Idempotency-Key; made here if None, so that a repeated call never makes a second job.
    Raises TypeError for an unknown option, and ValueError for one that files of this kind do not have.
    """
    fields: dict[str, Any] = {"task_type": task}
    for name, value in options.items():
        if name not in _KNOWN:
            raise TypeError(f"There is no option {name!r}; valid are: {', '.join(sorted(_KNOWN))}.")
        if value is None:
            continue
        if name not in _ALLOWED[kind]:
            raise ValueError(f"{name} is not for {_NOUNS[kind]}, and {upload.filename} goes as one of them.")
        fields["model_name" if name == "model" else name] = value
    return Call(
        "POST",
        f"/api/process_{kind}",
        fields=fields,
        file=(f"{kind}_file", upload.filename, upload.handle),
        headers={"Idempotency-Key": key or str(uuid.uuid4())},
    )


def task(task_id: str) -> Call:
    """Where a task of any kind stands."""
    return Call("GET", _task(task_id))


def tasks(kind: str | None, status: str | None, limit: int, before: str | None) -> Call:
    """The caller's tasks, newest first."""
    asked = {"kind": kind, "status": status, "limit": limit, "before": before}
    return Call("GET", "/api/tasks", params={name: value for name, value in asked.items() if value is not None})


def events(task_id: str, last_id: str | None) -> Call:
    """A task's states as server-sent events, after the one that was seen last."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    return Call("GET", f"{_task(task_id)}/events", headers=headers, read_timeout=_SILENT_SECONDS)


def cancel(task_id: str) -> Call:
    """Cancel a task."""
    return Call("POST", f"{_task(task_id)}/cancel")


def resume(task_id: str) -> Call:
    """Queue a failed clip again."""
    return Call("POST", f"{_task(task_id)}/resume")


def delete(task_id: str) -> Call:
    """Remove a task and its files."""
    return Call("DELETE", _task(task_id))


def result(result_path: str, offset: int, tag: str | None) -> Call:
    """A result from a byte on; `tag` is the ETag of the bytes before. Raises ValueError unless it is a path."""
    if not result_path.startswith("/"):
        # The key travels with every request, so none may lead to another server.
        raise ValueError(f"A result's path begins with a slash, unlike {result_path!r}.")
    headers = {"Accept-Encoding": "identity"}
    if offset and tag:
        headers |= {"Range": f"bytes={offset}-", "If-Range": tag}
    return Call("GET", result_path, headers=headers)


def preview(upload: Upload) -> Call:
    """A small JPEG of a photo."""
    return Call("POST", "/api/generate_preview", file=("image_file", upload.filename, upload.handle))


def confirm_download(result_path: str) -> Call:
    """Tell that a result was downloaded."""
    return Call("POST", "/api/confirm_download", json={"result_path": result_path})


def heartbeat(task_id: str) -> Call:
    """Tell that a result is being looked at."""
    return Call("POST", "/api/task_heartbeat", json={"task_id": task_id})


def clear_cache(images: bool, videos: bool) -> Call:
    """Delete results that nothing protects."""
    return Call("POST", "/api/clear_cache", params={"clear_images": images, "clear_videos": videos})


def models(action: str, names: tuple[str, ...], key: str | None = None) -> Call:
    """`load`, `unload` or `install` models; no names mean all."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return Call("POST", f"/api/{action}_models", json={"model_names": list(names)}, headers=headers)


def _task(task_id: str) -> str:
    return f"/api/tasks/{quote(task_id, safe='')}"
