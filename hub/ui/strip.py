"""The strip of photos that were sent together: each with its picture, state and progress; one is on the stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from hub.jobs.manager import JobView
from hub.jobs.model import Status, is_job_id
from hub.service import Hub
from hub.ui.bundles import bundle_address
from hub.ui.component import component
from hub.ui.language import say
from hub.ui.selection import MOST
from hub.ui.thumbnails import thumbnail_address
from hub.ui.visitors import STORAGE_CIPHER

Entry = dict[str, str]
"""A photo of a batch as the browser keeps it: its job's `id`, or the `name` of one that was refused and the `error`."""


def batch_state() -> gr.BrowserState:
    """Where a browser keeps the entries of the photos that it sent together last."""
    return gr.BrowserState(None, storage_key="uformer-hub-photo-batch", secret=STORAGE_CIPHER)


def strip() -> gr.HTML:
    """The strip, empty. Its value is what `stripped` returns, or None.

    `select` events carry the `place` of an entry; a `cancel` event asks to stop all that is unfinished.
    """
    return component("strip", "photo-strip")


def entries_of(batch: Any) -> list[Entry]:
    """The entries in what a browser has kept, which may be anything."""
    if not isinstance(batch, list):
        return []
    return [
        entry
        for entry in batch[:MOST]
        if isinstance(entry, dict) and (is_job_id(str(entry.get("id"))) or {"name", "error"} <= entry.keys())
    ]


def views_of(hub: Hub, entries: Sequence[Entry]) -> dict[str, JobView]:
    """The jobs of a batch that are there still and the page's to show, by id. Raises Busy."""
    views = hub.manager.views([entry["id"] for entry in entries if "id" in entry])
    return {id_: view for id_, view in views.items() if hub.access.page.may_see(view.job.owner)}


def stripped(entries: Sequence[Entry], views: Mapping[str, JobView], current: str | None) -> dict[str, Any]:
    """The strip's value. current: the job on the stage."""
    jobs = [views[entry["id"]].job for entry in entries if entry.get("id", "") in views]
    finished = [job for job in jobs if job.status is Status.COMPLETED]
    whole = len(finished) == len(entries)
    words = say("strip_download") if whole else say("strip_download_some", count=len(finished))
    return {
        "title": say("strip_title", done=len(finished), total=len(entries)),
        "items": [_item(entry, views.get(entry.get("id", "")), current) for entry in entries],
        "download": bundle_address([job.id for job in finished]) if finished else "",
        "download_words": words,
        "going": is_going(views),
    }


def is_going(views: Mapping[str, JobView]) -> bool:
    """Whether any of the jobs is to be watched."""
    return any(not view.job.status.finished for view in views.values())


def _item(entry: Entry, view: JobView | None, current: str | None) -> dict[str, Any]:
    if "error" in entry:
        return {"name": entry["name"], "state": "refused", "words": entry["error"]}
    if view is None:
        return {"name": "", "state": "gone", "words": say("strip_gone")}
    job = view.job
    running = job.status is Status.PROCESSING
    state = say(f"state_{job.status}")
    return {
        "name": job.filename,
        "picture": thumbnail_address(job),
        "state": str(job.status),
        "words": f"{view.progress} %" if running else state,
        "percent": view.progress if running else None,
        "current": job.id == current,
    }
