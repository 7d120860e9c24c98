"""What visitors of the page may do: they give no key, so it is not what those may who have one."""

from __future__ import annotations

from typing import Any

import gradio as gr

from hub.access import PAGE_OWNER
from hub.errors import NotFound
from hub.jobs.manager import JobView
from hub.jobs.model import is_job_id
from hub.service import Hub

# Not a secret: it lets a reopened page read what it stored in the browser before the server restarted.
STORAGE_CIPHER = "uformer-hub-page"


def visitor_state() -> gr.BrowserState:
    """Where a browser keeps the word by which it finds its jobs again; `GREET` fills it at the first visit."""
    return gr.BrowserState(None, storage_key="uformer-hub-visitor", secret=STORAGE_CIPHER)


# In the browser itself: what is sent before an answer of the hub came would have no owner. `crypto.randomUUID` is there
# only where the page came encrypted.
GREET = """(word) => word || [...crypto.getRandomValues(new Uint8Array(18))]
  .map((byte) => byte.toString(16).padStart(2, "0")).join("")"""


def owner_of(hub: Hub, visitor: Any) -> str:
    """Whose the jobs are that this browser sends."""
    return hub.access.owner_of_browser(visitor) if isinstance(visitor, str) and visitor else PAGE_OWNER


def check_visible(hub: Hub, job_id: str) -> None:
    """Raise NotFound for a job that is not the page's to show; where no keys are asked for, all jobs are."""
    page = hub.access.page
    if page.limited_to is not None and not page.may_see(hub.manager.view(job_id).job.owner):
        raise NotFound("task_not_found", f"There is no task {job_id!r}.")


def own_job(hub: Hub, job_id: object, visitor: Any) -> JobView:
    """The job, if this browser has sent it. Raises NotFound, in the same words whether it is another's or nobody's."""
    missing = NotFound("task_not_found", f"There is no task {job_id!r}.")
    if not (isinstance(job_id, str) and is_job_id(job_id)) or not visitor:
        raise missing
    check_visible(hub, job_id)
    view = hub.view(job_id)
    if view.job.owner != owner_of(hub, visitor):
        raise missing
    return view


def check_rate(hub: Hub, request: gr.Request | None) -> None:
    """Count what a visitor asks to be worked on, as if it came by the API. Raises TooManyRequests.

    request: the browser's; None for a call from within.
    """
    if request is not None:
        hub.access.count_visitor(address_of(request))


def address_of(request: gr.Request | None) -> str:
    """Where a visitor comes from."""
    return request.client.host if request is not None and request.client else ""
