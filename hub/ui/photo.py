"""The photo tab: choose, restore, compare, download."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, BinaryIO

import gradio as gr

from hub.errors import HubError, NotFound
from hub.jobs.manager import JobView
from hub.jobs.model import Job, Kind
from hub.service import Hub, PhotoOptions
from hub.ui import models, stage
from hub.ui.batch import Batch
from hub.ui.cache import PageCache
from hub.ui.examples import Example
from hub.ui.language import say
from hub.ui.part import PartPreview
from hub.ui.picker import example_gallery, photo_picker
from hub.ui.problems import explain
from hub.ui.selection import MOST, errors_of, holding, photos_of, without
from hub.ui.snippet import calls, snippet
from hub.ui.sources import PhotoSources
from hub.ui.strip import Entry, entries_of
from hub.ui.tab import BOUNDED, QUIET, JobTab, Updates
from hub.ui.viewer import compared, viewer
from hub.ui.visitors import check_rate, owner_of
from hub.ui.widgets import number_of, strength_slider

log = logging.getLogger(__name__)


class PhotoTab(JobTab):
    """The tab for photos: one, or several as a batch of jobs of which the stage shows one; with examples to try.

    A finished photo's strength can be changed without a new run, and a part of a large one seen before its run.
    """

    kind = Kind.IMAGE
    name = "photo"
    tab_label = "tab_photo"
    run_label = "run"

    def __init__(
        self, hub: Hub, cache: PageCache, tabs: gr.Tabs, visitor: gr.BrowserState, examples: Sequence[Example]
    ) -> None:
        self._sources = PhotoSources(hub, cache, examples)
        self._examples = examples
        self.batch = Batch(hub)
        super().__init__(hub, cache, tabs, visitor)

    def restore_on_load(self, page: gr.Blocks) -> None:
        """As any tab, and the browser's last batch."""
        super().restore_on_load(page)
        page.load(self.batch.open, [self.batch.state, self.job], self.batch.shown, **QUIET)

    def _build(self) -> None:
        with gr.Row(elem_classes="hub-columns"):
            with gr.Column(scale=5, min_width=280, elem_classes="hub-side"):
                with gr.Column(elem_classes="hub-card"):
                    gr.HTML(f"<h2>{say('picker_label')}</h2>", apply_default_css=False)
                    self.picker = photo_picker(self._hub.settings.max_upload_mb)
                    self.gallery = example_gallery(self._examples)
                with gr.Column(elem_classes="hub-card"):
                    gr.HTML(f"<h2>{say('settings_title')}</h2>", apply_default_css=False)
                    self._build_choice()
                    self.strength = strength_slider(say("strength_label"), say("strength_info"), "photo-strength")
                    with gr.Accordion(say("more_options"), open=False, elem_id="photo-more", elem_classes="hub-more"):
                        self.patches = gr.Checkbox(
                            True, label=say("patch_label"), info=say("patch_info"), elem_id="photo-patches"
                        )
                    self._build_run()
            with gr.Column(scale=7, min_width=280, elem_classes="hub-main", elem_id="photo-main"):
                self.part = PartPreview(self._hub, self._cache)
                self._build_result()

    def _build_result(self) -> None:
        with gr.Column(elem_classes="hub-card"):
            gr.HTML(f"<h2>{say('stage_label')}</h2>", apply_default_css=False)
            self._build_stage()
            with gr.Column(visible=False, elem_classes="hub-result") as self.result:
                self.compare = viewer("photo-compare")
            self.batch.build()
            with gr.Column(visible=False, elem_classes="hub-result") as self.finish:
                with gr.Row(elem_classes="hub-finish"):
                    self.blend = strength_slider(
                        say("result_strength_label"), say("result_strength_info"), "photo-blend"
                    )
                    self.download = gr.HTML("", apply_default_css=False, elem_id="photo-download")
                self.snippet = snippet("photo-snippet")

    def _shown(self) -> list[Any]:
        return [self.compare, self.finish, self.blend, self.download, self.snippet]

    def _connect(self) -> None:
        # "once" would drop a file that comes in the moment when Gradio has not yet noted the end of the one before.
        self.picker.upload(
            self._take_upload, self.picker, [self.picker, self.part.card], trigger_mode="multiple", **BOUNDED
        )
        self.picker.remove(self._remove, self.picker, [self.picker, self.part.card], trigger_mode="multiple", **QUIET)
        # Not preprocessed: the hub checks the values itself and says what is wrong where the page can show it.
        choices: set[Any] = {self.picker, self.task, self.model, self.patches, self.strength, self.visitor}
        started = [self.picker, self.part.card, *self.batch.shown, *self._watched]
        to_stage: dict[str, Any] = {"fn": None, "js": self._show_stage, "api_visibility": "private"}
        self.gallery.select(**to_stage)
        self.gallery.select(self._try_example, choices, started, preprocess=False, **BOUNDED)
        self.run.click(self._run, choices, started, preprocess=False, **BOUNDED).then(
            None, js=self._show_outcome, api_visibility="private"
        )
        self.picker.preview(**to_stage)
        self.picker.preview(
            self._preview,
            choices,
            [self.picker, *self.part.shown],
            preprocess=False,
            trigger_mode="once",
            **BOUNDED,
        )
        self.blend.input(
            self._reblend,
            [self.job, self.blend],
            [self.stage, self.compare, self.download, self.snippet],
            preprocess=False,  # It would not let an emptied field pass.
            trigger_mode="always_last",
            **BOUNDED,
        )
        self.batch.connect(self.job, **QUIET)
        self.batch.strip.select(self._choose, self.batch.state, [*self.batch.shown, *self._watched], **QUIET)
        self.heart.tick(self._beat_batch, self.batch.state, None, **QUIET)

    def _take_upload(self, held: Any, event: gr.EventData) -> Updates:
        """A file that has come: in place of what is held, or added to it."""
        name = str(getattr(event, "name", "photo"))
        photos = photos_of(held) if getattr(event, "add", False) else []
        errors = [] if getattr(event, "first", True) else errors_of(held)
        photo = self._sources.upload(name, getattr(event, "path", None))
        if len(photos) == MOST:
            errors.append(say("picker_most", most=MOST))
        elif isinstance(photo, dict):
            photos.append(photo)
        else:
            errors.append(f"{name}: {photo}" if getattr(event, "of", 1) > 1 or photos else photo)
        return {self.picker: holding(photos, *errors, answers=getattr(event, "asked", None)), **self.part.hidden}

    def _remove(self, held: Any, event: gr.EventData) -> Updates:
        one = getattr(event, "photo", "")
        errors = [] if one is None else errors_of(held)
        answer = holding(without(photos_of(held), one), *errors, answers=getattr(event, "asked", None))
        return {self.picker: answer, **self.part.hidden}

    def _try_example(
        self, values: dict[Any, Any], event: gr.EventData, request: gr.Request | None = None
    ) -> Iterator[Updates]:
        """Choose an example and restore it."""
        photo = self._sources.example(str(getattr(event, "key", "")))
        value = holding([photo]) if isinstance(photo, dict) else holding([], photo)
        for updates in self._run({**values, self.picker: value}, request):
            yield {self.picker: value, **updates}

    def _run(self, values: dict[Any, Any], request: gr.Request | None = None) -> Iterator[Updates]:
        photos = photos_of(values[self.picker])
        if len(photos) > 1:
            yield from self._run_batch(photos, values, request)
            return
        path = self._sources.find(photos[0]) if photos else say("picker_missing")
        if isinstance(path, str):
            yield {self.picker: holding([], path)}
            return
        yield {
            **self.part.hidden,
            **self.batch.none,
            **self._submit(path, self._submission(photos[0], values), request),
        }

    def _run_batch(
        self, photos: Sequence[dict[str, Any]], values: dict[Any, Any], request: gr.Request | None
    ) -> Iterator[Updates]:
        """Submit each photo as a job of its own, and tell of each at once; the first that is accepted is watched."""
        accepted: SimpleQueue[Entry] = SimpleQueue()

        def submit() -> None:
            for photo in photos:
                accepted.put(self._accept(photo, values, request))

        # When the page is closed this generator ends where it is; what was sent is to be submitted all the same.
        threading.Thread(target=copy_context().run, args=(submit,), name="submit-batch").start()
        entries: list[Entry] = []
        watched: str | None = None
        while len(entries) < len(photos):
            entries.append(accepted.get())
            updates = self.part.hidden
            if watched is None and "id" in entries[-1]:
                watched = entries[-1]["id"]
                updates |= self.show(watched)
            yield {**updates, self.batch.state: entries, **self.batch.watch(entries, {"id": watched})}
        if watched is None:
            yield self._idle(stage.problem(entries[0]["error"]))

    def _accept(self, photo: dict[str, Any], values: dict[Any, Any], request: gr.Request | None) -> Entry:
        """A photo's new job, or why it was refused; never raises."""
        try:
            path = self._sources.find(photo)
            if isinstance(path, str):
                return {"name": photo["name"], "error": path}
            check_rate(self._hub, request)
            with path.open("rb") as stream:
                return {"id": self._submission(photo, values)(stream).id}
        except HubError as error:
            reason = explain(error)
        except Exception:
            log.exception("Submitting %r failed.", photo["name"])
            reason = say("server_error")
        return {"name": photo["name"], "error": reason}

    def _submission(self, photo: dict[str, Any], values: dict[Any, Any]) -> Callable[[BinaryIO], Job]:
        """What submits a photo, given its bytes."""
        return lambda stream: self._hub.submit_photo(
            stream, photo["name"], self._options(values), owner=owner_of(self._hub, values[self.visitor])
        )

    def _options(self, values: dict[Any, Any]) -> PhotoOptions:
        """By the page's values. Raises InvalidInput."""
        return PhotoOptions(
            task_type=values[self.task],
            model_name=values[self.model],
            use_patch_processing=bool(values[self.patches]),
            strength=number_of(self.strength, values),
            display=True,
        )

    def _preview(
        self, values: dict[Any, Any], event: gr.EventData, request: gr.Request | None = None
    ) -> Iterator[Updates]:
        """Restore a part of the photo and show it."""
        photos = photos_of(values[self.picker])
        path = self._sources.find(photos[0]) if photos else say("picker_missing")
        if isinstance(path, str):
            yield {self.picker: holding([], path)}
            return
        left, top = (float(getattr(event, side, 0)) for side in ("left", "top"))
        yield from self.part.restore(path, left, top, lambda: self._options(values), request)

    def _choose(self, batch: Any, event: gr.EventData) -> Updates:
        """Show another photo of the batch on the stage."""
        entries = entries_of(batch)
        if not 0 <= event.place < len(entries):  # Another tab of the browser has sent another batch.
            return self.batch.watch(batch, None)
        entry = entries[event.place]
        if "error" in entry:
            return {**self._idle(stage.problem(entry["error"], entry["name"])), self.job: None}
        return {**self.show(entry["id"]), **self.batch.watch(batch, entry)}

    def _beat_batch(self, batch: Any) -> None:
        """Have all results of the batch kept."""
        for entry in entries_of(batch):
            self._beat(entry)

    def _working(self, words: str) -> Updates:
        return {**super()._working(words), self.finish: gr.Column(visible=False)}

    def _idle(self, words: str) -> Updates:
        return {**super()._idle(words), self.finish: gr.Column(visible=False)}

    def _reblend(self, job: Any, strength: float | None) -> Updates:
        if strength is None:  # The field was emptied, to write another number there.
            return {self.stage: gr.skip()}
        try:
            view = self._hub.display.reblend(self._id_of(job), strength)
            updates = self._finished(view)
            shown = {widget: updates[widget] for widget in (self.compare, self.download, self.snippet)}
            return {self.stage: stage.finished(view, models.model_names(self._hub.catalog)), **shown}
        except HubError as error:
            reason = explain(error)
        except Exception:
            log.exception("Blending job %r again failed.", job)
            reason = say("server_error")
        return {self.stage: stage.problem(say("reblend_failed", reason=reason))}

    def _finished(self, view: JobView) -> Updates:
        """Before and after, the strength they were blended with, the download, and how a program would do it."""
        job = view.job
        strength = float((job.result or {}).get("strength", job.spec.get("strength", 1.0)))
        shown = {
            self.finish: gr.Column(visible=True),
            self.blend: strength,
            self.download: stage.download(job, strength),
            self.snippet: calls(job, strength, key=self._hub.access.required),
        }
        try:
            with self._hub.display.pictures(job.id) as (before, after):
                self._cache.sweep()
                pair = (
                    self._cache.copy(before, job.id, "before.png"),
                    self._cache.copy(after, job.id, "after.png"),
                )
        except NotFound:
            return {**shown, self.compare: None}
        return {**shown, self.compare: compared(*pair)}
