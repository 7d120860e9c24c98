"""Several photos that were sent together: which they are is kept by the browser, how they stand is shown as a strip."""

from __future__ import annotations

import logging
from typing import Any

import gradio as gr

from hub.errors import Busy, HubError, NotFound
from hub.service import Hub
from hub.ui.language import say
from hub.ui.problems import explain
from hub.ui.strip import batch_state, entries_of, is_going, strip, stripped, views_of

log = logging.getLogger(__name__)

SECONDS = 1.0

Updates = dict[Any, Any]


class Batch:
    """The widgets of a batch. What lives outside the tabs is made where it is made; `build` makes the strip."""

    strip: gr.HTML

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.state = batch_state()
        self.timer = gr.Timer(SECONDS, active=False)

    def build(self) -> None:
        """Make the strip, here."""
        self.strip = strip()

    @property
    def shown(self) -> list[Any]:
        """What the methods here update."""
        return [self.state, self.strip, self.timer]

    @property
    def none(self) -> Updates:
        """There is no batch."""
        return {self.state: None, self.strip: None, self.timer: gr.Timer(active=False)}

    def connect(self, job: gr.BrowserState, **event: Any) -> None:
        """Watch the batch, and let it be cancelled. job: on the stage; event: how Gradio's events are handled."""
        self.timer.tick(self.watch, [self.state, job], self.shown, **event)
        self.strip.cancel(self.cancel, [self.state, job], self.shown, **event)

    def open(self, batch: Any, job: Any) -> Updates:
        """What the page shows of the browser's batch when it opens."""
        return self.watch(batch, job) if entries_of(batch) else self.none

    def watch(self, batch: Any, job: Any) -> Updates:
        """The strip of the batch, with the job on the stage marked in it; none once nothing of it is left."""
        entries = entries_of(batch)
        try:
            views = views_of(self._hub, entries)
        except Busy as error:  # It passes: the next look will tell.
            log.info("The batch cannot be shown yet: %s", error.message)
            return {self.timer: gr.Timer(active=True)}
        if not views and not any("error" in entry for entry in entries):
            return self.none
        current = job.get("id") if isinstance(job, dict) else None
        return {self.strip: stripped(entries, views, current), self.timer: gr.Timer(active=is_going(views))}

    def cancel(self, batch: Any, job: Any) -> Updates:
        """Stop all that is unfinished; one that cannot be stopped keeps no other from it."""
        reason = ""
        try:
            views = views_of(self._hub, entries_of(batch))
        except Busy as error:
            views, reason = {}, explain(error)
        for job_id, view in views.items():
            if not view.job.status.finished:
                reason = self._cancel(job_id) or reason
        if reason:
            gr.Warning(say("strip_cancel_failed", reason=reason))
        return self.watch(batch, job)

    def _cancel(self, job_id: str) -> str:
        """Stop a job; returns why it goes on, or nothing."""
        try:
            self._hub.cancel(job_id)
        except NotFound:  # Deleted meanwhile: it does not go on.
            return ""
        except HubError as error:
            return explain(error)
        except Exception:
            log.exception("Cancelling job %s failed.", job_id)
            return say("server_error")
        return ""
