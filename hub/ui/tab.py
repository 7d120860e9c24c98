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
from hub.ui import models, stage, text
from hub.ui.cache import PageCache
from hub.ui.visitors import check_rate, check_visible

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
HEARTBEAT_SECONDS = 60.0  # Of an open page, so that the result it shows is kept.
AT_ONCE = 4  # Files that are opened, submitted or shown at a time, each kind of work.
# Not a secret: it lets a reopened page read what it stored in the browser before the server restarted.
STORAGE_CIPHER = "uformer-hub-page"

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
    model_note: gr.HTML
    strength: gr.Slider
    run: gr.Button
    stage: gr.HTML
    cancel: gr.Button
    result: gr.Column

    def __init__(self, hub: Hub, cache: PageCache, tabs: gr.Tabs) -> None:
        """tabs: where it is added."""
        self._hub = hub
        self._cache = cache
        # Not inside the tab: Gradio makes a tab's widgets when it is first opened, long after the page was loaded.
        self.job = gr.BrowserState(None, storage_key=f"uformer-hub-{self.name}-job", secret=STORAGE_CIPHER)
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        self.heart = gr.Timer(HEARTBEAT_SECONDS)
        with tabs, gr.Tab(self.tab_label, id=self.name):
            self._build()
        self._watched = [self.job, self.timer, self.run, self.stage, self.cancel, self.result, *self._shown()]
        self._connect_job()
        self._connect()

    def restore_on_load(self, page: gr.Blocks) -> None:
        """Show the browser's last job again when the page opens, and the models that are there by now."""
        page.load(
            self._open,
            [self.job, self.task, self.model],
            [self.model, self.model_note, *self._watched],
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=None,
        )

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
            return text.LEAVE_HINT
        return text.LEAVE_HINT_FOR.format(time=stage.duration(60 * settings.abandoned_minutes))

    def _failed(self, view: JobView) -> Updates:
        return self._idle(stage.problem(view.job.error or text.SERVER_ERROR))

    @property
    def _quiet(self) -> dict[str, Any]:
        """Of an event that only looks at what is there."""
        return {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}

    @property
    def _bounded(self) -> dict[str, Any]:
        """Of an event that works: opens, copies or restores."""
        return {**self._quiet, "concurrency_limit": AT_ONCE}

    @property
    def _show_stage(self) -> str:
        """JavaScript that brings the result column into view."""
        find = f"document.getElementById('{self.name}-main')"
        return f"() => {find}.scrollIntoView({{behavior: 'smooth', block: 'nearest'}})"

    def _build_choice(self) -> None:
        """Task, model, and what is to be known of the model."""
        catalog = self._hub.catalog
        tasks = models.task_choices(catalog)
        task = tasks[0][1]
        model = models.preferred_model(catalog, task)
        self.task = gr.Radio(
            tasks, value=task, label=text.TASK_LABEL, elem_id=f"{self.name}-task", elem_classes="hub-task"
        )
        self.model = gr.Dropdown(
            models.model_choices(catalog, task),
            value=model,
            label=text.MODEL_LABEL,
            filterable=False,
            elem_id=f"{self.name}-model",
        )
        self.model_note = gr.HTML(self._note(model), apply_default_css=False, elem_id=f"{self.name}-model-note")

    def _build_run(self) -> None:
        self.run = gr.Button(
            self.run_label, variant="primary", size="lg", elem_id=f"{self.name}-run", elem_classes="hub-run"
        )

    def _build_stage(self) -> None:
        self.stage = gr.HTML(self._empty(), apply_default_css=False, elem_id=f"{self.name}-stage")
        self.cancel = gr.Button(
            text.CANCEL, visible=False, elem_id=f"{self.name}-cancel", elem_classes="hub-small-button"
        )

    def _connect_job(self) -> None:
        self.task.change(self._change_task, [self.task, self.model], [self.model, self.model_note], **self._quiet)
        self.model.change(self._note, self.model, self.model_note, **self._quiet)
        self.timer.tick(self._watch, self.job, self._watched, **self._quiet)
        self.heart.tick(self._beat, self.job, None, **self._quiet)
        self.cancel.click(self._cancel, self.job, self._watched, **self._quiet)

    def _change_task(self, task: str, model: str | None) -> tuple[Any, str]:
        chosen = models.preferred_model(self._hub.catalog, task, model)
        menu = gr.Dropdown(choices=models.model_choices(self._hub.catalog, task), value=chosen)
        return menu, self._note(chosen)

    def _note(self, model: str | None) -> str:
        return models.model_note(self._hub.catalog, model, auto_fetch=self._hub.settings.auto_fetch)

    def _open(self, job: Any, task: str, model: str | None) -> Updates:
        menu, note = self._change_task(task, model)
        updates = {self.model: menu, self.model_note: note}
        return updates | (self._look(job, fresh=True) if job else {})

    def _submit(self, path: Path, submit: Callable[[BinaryIO], Job], request: gr.Request | None) -> Updates:
        """Hand a file to the hub and watch its job, or say why it was refused."""
        try:
            check_rate(self._hub, request)
            with path.open("rb") as stream:
                job = {"id": submit(stream).id}
        except HubError as error:
            return self._idle(stage.problem(error.message))
        except Exception:
            log.exception("Submitting %s failed.", path.name)
            return self._idle(stage.problem(text.SERVER_ERROR))
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
            return self._working(stage.busy(error.message))
        except (NotFound, KeyError, TypeError):  # deleted meanwhile, or another version's browser state
            return self._forget()
        except Exception:
            log.exception("Showing job %r failed.", job)
            return self._idle(stage.problem(text.SERVER_ERROR))

    def _cancel(self, job: Any) -> Updates:
        try:
            return self._show(self._hub.cancel(self._id_of(job)))
        except (NotFound, KeyError, TypeError):
            return self._forget()
        except HubError as error:
            reason = error.message
        except Exception:
            log.exception("Cancelling job %r failed.", job)
            reason = text.SERVER_ERROR
        # The job goes on and so does the page, which would soon replace these words on the stage.
        gr.Warning(text.CANCEL_FAILED.format(reason=reason))
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
            self.run: gr.Button(text.RUNNING, interactive=False),
            self.stage: words,
            self.cancel: gr.Button(text.CANCEL, visible=True, interactive=True),
            self.result: gr.Column(visible=False),
        }

    def _idle(self, words: str) -> Updates:
        """Nothing runs and there is no result: `words` fill the stage."""
        return {
            self.timer: gr.Timer(active=False),
            self.run: gr.Button(self.run_label, interactive=True),
            self.stage: words,
            self.cancel: gr.Button(visible=False),
            self.result: gr.Column(visible=False),
        }
