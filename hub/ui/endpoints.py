"""Endpoints for programs that speak Gradio: a file in, the restored file out. They are all that its API page shows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import gradio as gr

from hub.errors import HubError
from hub.jobs.model import Job
from hub.service import CODECS, Hub, PhotoOptions, VideoOptions
from hub.ui.cache import PageCache
from hub.ui.language import say
from hub.ui.stage import download_name
from hub.ui.tab import AT_ONCE
from hub.ui.visitors import check_rate, owner_of

log = logging.getLogger(__name__)

TURN_SECONDS = 2.0
"""How long a job is awaited before Gradio may tell whether its caller is still there."""
_PROGRESS = gr.Progress()
# Gradio's own footer, which is hidden, has the button; opened by its address alone, Gradio 6.31 shows nothing.
OPEN_API_PAGE = """() => {
  const press = () => document.querySelector("footer .show-api")?.click();
  document.addEventListener("click", (event) => {
    if (!event.target.closest("a[href='?view=api']")) return;
    event.preventDefault();
    press();
  });
  if (new URLSearchParams(location.search).get("view") !== "api") return;
  press();
  setTimeout(press, 200);
}"""

Steps = Iterator[str | None]


class Endpoints:
    """`/denoise`, `/deblur` and `/restore_video`; made inside a page, for that page's language.

    Each is a generator that yields nothing until the end: between two steps Gradio sees whether the caller is gone, and
    closes it, which cancels the job.
    """

    def __init__(self, hub: Hub, cache: PageCache) -> None:
        self._hub = hub
        self._cache = cache
        for task, words in (("denoise", say("endpoint_denoise")), ("deblur", say("endpoint_deblur"))):
            photo = gr.File(label=say("endpoint_photo"), visible=False)
            patches = gr.Checkbox(True, label=say("patch_label"), visible=False)
            self._add(task, self._photo_restorer(task), words, [photo, self._models(task), _strength(), patches])
        self._add(
            "restore_video",
            self._restore_video,
            say("endpoint_video"),
            [
                gr.File(label=say("endpoint_clip"), visible=False),
                _menu(list(self._hub.catalog.tasks()), "denoise", say("task_label")),
                self._models(None),
                _strength(),
                _menu(list(CODECS), "h264", say("codec_label")),
                gr.Number(18, precision=0, label=say("quality_label"), visible=False),
                gr.Number(None, label=say("start_label"), visible=False),
                gr.Number(None, label=say("end_label"), visible=False),
            ],
        )

    def _models(self, task: str | None) -> gr.Dropdown:
        """The names that may be given; the hub itself says what is wrong with another."""
        names = [entry.name for entry in self._hub.catalog.models(task)]
        return _menu(names, None, say("model_label"))

    def _add(self, name: str, restore: Callable[..., Steps], description: str, inputs: list[Any]) -> None:
        gr.Button(visible=False).click(
            restore,
            inputs,
            gr.File(label=say("endpoint_result"), visible=False),
            api_name=name,
            api_description=description,
            api_visibility="public",
            concurrency_limit=AT_ONCE,
            show_progress="hidden",
        )

    def _photo_restorer(self, task: str) -> Callable[..., Steps]:
        def restore(
            photo: str,
            model: str | None = None,
            strength: float = 1.0,
            patch_processing: bool = True,
            progress: gr.Progress = _PROGRESS,
            request: gr.Request | None = None,
        ) -> Steps:
            options = PhotoOptions(task, model, patch_processing, strength)
            yield from self._restored(photo, options, progress, request)

        return restore

    def _restore_video(
        self,
        clip: str,
        task: str = "denoise",
        model: str | None = None,
        strength: float = 1.0,
        codec: str = "h264",
        quality: int = 18,
        start: float | None = None,
        end: float | None = None,
        progress: gr.Progress = _PROGRESS,
        request: gr.Request | None = None,
    ) -> Steps:
        options = VideoOptions(task, model, strength, codec, quality, start=start, end=end)
        yield from self._restored(clip, options, progress, request)

    def _restored(
        self,
        file: str | None,
        options: PhotoOptions | VideoOptions,
        progress: gr.Progress,
        request: gr.Request | None,
    ) -> Steps:
        """Run one job to its end, and yield the path of a copy of its result. Raises gr.Error in the hub's words."""
        yield None  # Gradio only closes generators that have taken their first step.
        path = self._cache.resolve(file)
        if path is None:
            raise gr.Error(say("endpoint_no_file"), print_exception=False)
        self._cache.sweep()
        job = None
        try:
            check_rate(self._hub, request)
            with path.open("rb") as stream:
                job = self._submit(stream, path.name, options)
            while not self._ended(job, progress):
                yield None
            yield str(self._result(job))
        except HubError as error:
            raise gr.Error(error.message, print_exception=False) from error
        finally:
            if job is not None:
                self._leave(job)

    def _submit(self, stream: BinaryIO, name: str, options: PhotoOptions | VideoOptions) -> Job:
        owner = owner_of(self._hub, None)
        if isinstance(options, PhotoOptions):
            return self._hub.submit_photo(stream, name, options, owner=owner)
        return self._hub.submit_video(stream, name, options, owner=owner)

    def _ended(self, job: Job, progress: gr.Progress) -> bool:
        """Wait a while for the job's end; tell how far it is if that does not come."""
        try:
            self._hub.manager.wait(job.id, TURN_SECONDS)
        except TimeoutError:
            view = self._hub.view(job.id)
            progress(view.progress / 100, desc=view.message)
            return False
        return True

    def _result(self, job: Job) -> Path:
        """A copy of the result for the caller, who thereby has downloaded it. Raises gr.Error, NotFound."""
        job = self._hub.view(job.id).job
        if job.result_path is None:
            raise gr.Error(job.error or say("endpoint_cancelled"), print_exception=False)
        with self._hub.files.reading(self._hub.result_file(job.result_path)) as path:
            copy = self._cache.copy(path, job.id, download_name(job))
        self._hub.lifecycle.confirm(job.result_path)
        return copy

    def _leave(self, job: Job) -> None:
        """Cancel what nobody waits for any more; a job that has ended stays as it is."""
        try:
            if not self._hub.view(job.id).job.status.finished:
                log.info("The caller of job %s is gone.", job.id)
                self._hub.cancel(job.id)
        except HubError as error:  # What the caller is told matters more.
            log.warning("Job %s may go on for nobody: %s", job.id, error.message)


def _strength() -> gr.Number:
    return gr.Number(1.0, label=say("strength_label"), visible=False)


def _menu(names: list[str], value: str | None, label: str) -> gr.Dropdown:
    return gr.Dropdown(names, value=value, label=label, allow_custom_value=True, visible=False)
