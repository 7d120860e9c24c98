"""What the tabs have in common: choosing task and model, and watching one job, which lives in the hub."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import gradio as gr

from hub.errors import Busy, HubError, NotFound
from hub.jobs.manager import JobView
from hub.jobs.model import Job, Kind, Status
from hub.service import Hub
from hub.ui import models, stage
from hub.ui.cache import PageCache
from hub.ui.choice import ModelChoice
from hub.ui.language import say
from hub.ui.measures import duration
from hub.ui.problems import explain, explain_job
from hub.ui.visitors import STORAGE_CIPHER, check_rate, check_visible

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
HEARTBEAT_SECONDS = 60.0  # Of an open page, so that the result it shows is kept.
AT_ONCE = 4  # Files that are opened, submitted or shown at a time, each kind of work, by the page of each language.
_SMOOTHLY = "{behavior: 'smooth', block: 'nearest'}"

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
"""Of an event that only looks at what is there."""
BOUNDED: dict[str, Any] = {**QUIET, "concurrency_limit": AT_ONCE}
"""Of an event that works: opens, copies or restores."""

Updates = dict[Any, Any]


class JobTab(ABC):
    """One kind of job: the widgets every tab has, and how its job is submitted, watched, cancelled and found again.

    Call `restore_on_load` once it is built. name: begins the ids of its widgets and what is stored.
    """

    kind: ClassVar[Kind]
    name: ClassVar[str]
    tab_label: ClassVar[str]
    run_label: ClassVar[str]

    task: gr.Radio
    model: gr.Dropdown
    strength: gr.Slider
    run: gr.Button
    stage: gr.HTML
    cancel: gr.Button
    result: gr.Column

    def __init__(self, hub: Hub, cache: PageCache, tabs: gr.Tabs, visitor: gr.BrowserState) -> None:
        """tabs: where it is added. visitor: see `visitor_state`."""
        self.visitor = visitor
        self._hub = hub
        self._cache = cache
        # Not inside the tab: Gradio makes a tab's widgets when it is first opened, long after the page was loaded.
        self.job = gr.BrowserState(None, storage_key=f"uformer-hub-{self.name}-job", secret=STORAGE_CIPHER)
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        self.heart = gr.Timer(HEARTBEAT_SECONDS)
        with tabs, gr.Tab(say(self.tab_label), id=self.name):
            self._build()
        self._watched = [self.job, self.timer, self.run, self.stage, self.cancel, self.result, *self._shown()]
        self._connect_job()
        self._connect()

    def restore_on_load(self, page: gr.Blocks) -> None:
        """Show the browser's last job again when the page opens, and the models that are there by now."""
        page.load(
            self._open,
            [self.job, self.task, self.model],
            [self.model, self._choice.note, *self._watched],
            **QUIET,
        )

    @property
    def watched(self) -> list[Any]:
        """What `show` may update."""
        return self._watched

    def show(self, job_id: str) -> Updates:
        """Open a job in this tab, as if it had been sent from here."""
        job = {"id": job_id}
        return {self.job: job, **self._look(job, fresh=True)}

    @abstractmethod
    def _build(self) -> None:
        """Make the widgets."""

    @abstractmethod
    def _shown(self) -> list[Any]:
        """The widgets that show a job, besides those that every tab has."""

    @abstractmethod
    def _connect(self) -> None:
        """Say what happens when the tab's own widgets are used."""

    @abstractmethod
    def _finished(self, view: JobView) -> Updates:
        """What shows the result of a completed job, in the column of the result."""

    def _empty(self) -> str:
        return stage.empty()

    def _cancelled(self) -> str:
        return stage.cancelled()

    def _progress(self, view: JobView) -> str:
        """What fills the stage while a job waits or runs."""
        return stage.working(view, leave_hint=self._leave_hint)

    @property
    def _leave_hint(self) -> str:
        """What becomes of the job when the page is closed."""
        settings = self._hub.settings
        if not settings.clean_up:
            return say("leave_hint")
        return say("leave_hint_for", time=duration(60 * settings.abandoned_minutes))

    def _failed(self, view: JobView) -> Updates:
        return self._idle(stage.problem(explain_job(view.job)))

    @property
    def _show_stage(self) -> str:
        """JavaScript that brings the result column into view."""
        find = f"document.getElementById('{self.name}-main')"
        return f"() => {find}.scrollIntoView({_SMOOTHLY})"

    @property
    def _show_outcome(self) -> str:
        """JavaScript that brings into view what the picker, left without a file, says of a run; else the result."""
        # The picker's words of other files that did not come may stand there while a run goes well.
        find = f"document.querySelector('#{self.name}-picker .hub-picker-zone ~ .hub-alert:not([hidden])')"
        return f"() => ({find} ?? document.getElementById('{self.name}-main')).scrollIntoView({_SMOOTHLY})"

    def _build_choice(self) -> None:
        """Task, model, and what is to be known of the model."""
        self._choice = ModelChoice(self._hub, self.name)
        self.task, self.model = self._choice.task, self._choice.model

    def _build_run(self) -> None:
        self.run = gr.Button(
            say(self.run_label), variant="primary", size="lg", elem_id=f"{self.name}-run", elem_classes="hub-run"
        )

    def _build_stage(self) -> None:
        self.stage = gr.HTML(self._empty(), apply_default_css=False, elem_id=f"{self.name}-stage")
        self.cancel = gr.Button(
            say("cancel"), visible=False, elem_id=f"{self.name}-cancel", elem_classes="hub-small-button"
        )

    def _connect_job(self) -> None:
        self._choice.connect(**QUIET)
        self.timer.tick(self._watch, self.job, self._watched, **QUIET)
        self.heart.tick(self._beat, self.job, None, **QUIET)
        self.cancel.click(self._cancel, self.job, self._watched, **QUIET)

    def _open(self, job: Any, task: str, model: str | None) -> Updates:
        menu, note = self._choice.refreshed(task, model)
        updates = {self.model: menu, self._choice.note: note}
        return updates | (self._look(job, fresh=True) if job else {})

    def _submit(self, path: Path, submit: Callable[[BinaryIO], Job], request: gr.Request | None) -> Updates:
        """Hand a file to the hub and watch its job, or say why it was refused."""
        try:
            check_rate(self._hub, request)
            with path.open("rb") as stream:
                job = {"id": submit(stream).id}
        except HubError as error:
            return self._idle(stage.problem(error))
        except Exception:
            log.exception("Submitting %s failed.", path.name)
            return self._idle(stage.problem(say("server_error")))
        return {self.job: job, **self._look(job, fresh=True)}

    def _id_of(self, job: Any) -> str:
        """The id of the browser's job, which may be anything. Raises NotFound, KeyError, TypeError."""
        job_id = str(job["id"])
        check_visible(self._hub, job_id)
        return job_id

    def _beat(self, job: Any) -> None:
        """Have what the page shows kept."""
        if not job:
            return
        try:
            self._hub.lifecycle.heartbeat(self._id_of(job))
        except (HubError, KeyError, TypeError) as error:
            log.info("No heartbeat for %r: %s", job, error)

    def _watch(self, job: Any) -> Updates:
        return self._look(job, fresh=False)

    def _look(self, job: Any, *, fresh: bool) -> Updates:
        """The updates that show the browser's job; only its progress if it is running and not `fresh` on the page."""
        try:
            view = self._hub.view(self._id_of(job), self.kind)
            if view.job.status.finished or fresh:
                return self._show(view)
            return {self.stage: self._progress(view)}
        except Busy as error:  # It passes: the next look will tell.
            return self._working(stage.busy(error))
        except (NotFound, KeyError, TypeError):  # deleted meanwhile, or another version's browser state
            return self._forget()
        except Exception:
            log.exception("Showing job %r failed.", job)
            return self._idle(stage.problem(say("server_error")))

    def _cancel(self, job: Any) -> Updates:
        try:
            return self._show(self._hub.cancel(self._id_of(job)))
        except (NotFound, KeyError, TypeError):
            return self._forget()
        except HubError as error:
            reason = explain(error)
        except Exception:
            log.exception("Cancelling job %r failed.", job)
            reason = say("server_error")
        # The job goes on and so does the page, which would soon replace these words on the stage.
        gr.Warning(say("cancel_failed", reason=reason))
        return {self.timer: gr.Timer(active=True)}

    def _show(self, view: JobView) -> Updates:
        """Everything the page shows of a job in whatever state."""
        match view.job.status:
            case Status.COMPLETED:
                done = stage.finished(view, models.model_names(self._hub.catalog))
                return {**self._idle(done), self.result: gr.Column(visible=True), **self._finished(view)}
            case Status.FAILED:
                return self._failed(view)
            case Status.CANCELLED:
                return self._idle(self._cancelled())
        return self._working(self._progress(view))

    def _forget(self) -> Updates:
        """There is no such job."""
        return {self.job: None, **self._idle(self._empty())}

    def _working(self, words: str) -> Updates:
        """A job is watched: `words` fill the stage until the timer's next look."""
        return {
            self.timer: gr.Timer(active=True),
            self.run: gr.Button(say("running"), interactive=False),
            self.stage: words,
            self.cancel: gr.Button(say("cancel"), visible=True, interactive=True),
            self.result: gr.Column(visible=False),
        }

    def _idle(self, words: str) -> Updates:
        """Nothing runs and there is no result: `words` fill the stage."""
        return {
            self.timer: gr.Timer(active=False),
            self.run: gr.Button(say(self.run_label), interactive=True),
            self.stage: words,
            self.cancel: gr.Button(visible=False),
            self.result: gr.Column(visible=False),
        }
