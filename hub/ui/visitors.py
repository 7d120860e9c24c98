"""What visitors of the page may do: they give no key, so it is not what those may who have one."""

from __future__ import annotations

import gradio as gr

from hub.errors import NotFound
from hub.service import Hub


def check_visible(hub: Hub, job_id: str) -> None:
    """Raise NotFound for a job that is not the page's to show; where no keys are asked for, all jobs are."""
    page = hub.access.page
    if page.limited_to is not None and not page.may_see(hub.manager.view(job_id).job.owner):
        raise NotFound("task_not_found", f"There is no task {job_id!r}.")


def check_rate(hub: Hub, request: gr.Request | None) -> None:
    """Count what a visitor asks to be worked on, as if it came by the API. Raises TooManyRequests.

    request: the browser's; None for a call from within.
    """
    if request is not None:
        hub.access.count_visitor(request.client.host if request.client else "")
