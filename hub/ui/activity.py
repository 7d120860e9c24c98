"""The tab of all that this browser has sent (photos, clips, downloads of models), and of the machine that does it."""

from __future__ import annotations

import html
import logging
from typing import Any

import gradio as gr

from hub.errors import HubError, InvalidInput, NotFound
from hub.jobs.manager import JobView
from hub.jobs.model import Kind
from hub.service import Hub
from hub.ui import models
from hub.ui.board import answer, board, news
from hub.ui.cache import PageCache
from hub.ui.entries import entry
from hub.ui.language import say
from hub.ui.machine import MachinePanel
from hub.ui.measures import duration
from hub.ui.problems import explain
from hub.ui.tab import BOUNDED, QUIET, JobTab, Updates
from hub.ui.visitors import check_rate, own_job, owner_of

log = logging.getLogger(__name__)

PAGE = 20
MOST = 500  # Lines that one browser may have open.
_TO_RESULT = """() => [...document.querySelectorAll("#photo-main, #video-main")]
  .find((main) => main.getClientRects().length)?.scrollIntoView({ behavior: "smooth", block: "nearest" })"""


class ActivityTab:
    """The jobs that this browser sent, newest first, to be looked at again, downloaded, cancelled, resumed, deleted.

    Nothing is kept here: what there is stands in the jobs table, so that it survives a reload and a restart.
    """

    name = "activity"

    def __init__(
        self, hub: Hub, cache: PageCache, tabs: gr.Tabs, visitor: gr.BrowserState, photo: JobTab, video: JobTab
    ) -> None:
        """photo, video: the tabs that open a job again."""
        self._hub = hub
        self._opens = {Kind.IMAGE: photo, Kind.VIDEO: video}
        self._tabs = tabs
        with tabs, gr.Tab(say("tab_activity"), id=self.name):  # noqa: SIM117
            with gr.Row(elem_classes="hub-columns"):
                with gr.Column(scale=8, min_width=280, elem_classes="hub-card"):
                    self.jobs = board("activity-jobs", "activity.html", kept=self._kept)
                with gr.Column(scale=5, min_width=280, elem_classes="hub-side"):
                    self.machine = MachinePanel(hub, cache, visitor)
        self.jobs.look(self._look, visitor, self.jobs, **QUIET)
        self.jobs.act(self._act, visitor, self.jobs, trigger_mode="multiple", **BOUNDED)
        shown = [widget for tab in self._opens.values() for widget in tab.watched]
        self.jobs.open(self._open, visitor, [self.jobs, tabs, *shown], **BOUNDED).then(
            None, js=_TO_RESULT, api_visibility="private"
        )

    @property
    def _kept(self) -> str:
        settings = self._hub.settings
        if not settings.clean_up:
            return html.escape(say("activity_kept_for_good"))
        return html.escape(say("activity_kept", time=duration(60 * settings.abandoned_minutes)))

    def _look(self, visitor: Any, event: gr.EventData) -> Any:
        """The list, if it has changed since this browser looked last."""
        return news(self._told(visitor, event), getattr(event, "seen", ""))

    def _told(self, visitor: Any, event: gr.EventData) -> dict[str, Any]:
        """The board's value."""
        if not visitor:  # The page is just being opened: in a moment the browser has a name.
            return {}
        asked = getattr(event, "limit", PAGE)
        limit = min(max(asked, PAGE), MOST) if isinstance(asked, int) else PAGE
        try:
            views = self._hub.manager.list(owner=owner_of(self._hub, visitor), limit=limit + 1)
        except HubError as error:  # It passes: the next look will tell.
            return {"alert": html.escape(explain(error))}
        names = models.model_names(self._hub.catalog)
        return {
            "rows": [entry(view, names) for view in views[:limit]],
            "more": len(views) > limit and limit < MOST,
            "busy": any(not view.job.status.finished for view in views[:limit]),
        }

    def _act(self, visitor: Any, event: gr.EventData, request: gr.Request | None = None) -> dict[str, Any]:
        """Do what a button of a line says."""
        job_id, problem = getattr(event, "id", None), ""
        try:
            self._do(str(getattr(event, "do", "")), own_job(self._hub, job_id, visitor), request)
        except NotFound:
            log.info("Job %r is gone, or not this browser's.", job_id)  # The list that is answered lacks it.
        except HubError as error:
            problem = explain(error)
        except Exception:
            log.exception("Acting on job %r failed.", job_id)
            problem = say("server_error")
        return answer(self._told(visitor, event), job_id, problem)

    def _do(self, do: str, view: JobView, request: gr.Request | None) -> None:
        """Raises HubError."""
        match do:
            case "cancel":
                self._hub.cancel(view.job.id)
            case "resume":
                check_rate(self._hub, request)
                self._hub.resume(view.job.id)
            case "delete":
                self._hub.manager.delete(view.job.id)
            case _:
                raise InvalidInput("unknown_action", f"Nothing is called {do!r}.")

    def _open(self, visitor: Any, event: gr.EventData) -> Updates:
        """Show a job in the tab of its kind, with its before and after."""
        job_id = getattr(event, "id", None)
        try:
            job = own_job(self._hub, job_id, visitor).job
        except HubError as error:
            return {self.jobs: answer(self._told(visitor, event), job_id, explain(error))}
        tab = self._opens.get(job.kind)
        if tab is None:
            return {self.jobs: answer(self._told(visitor, event), job_id, say("activity_gone"))}
        return {self._tabs: gr.Tabs(selected=tab.name), **tab.show(job.id)}
