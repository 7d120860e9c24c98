"""The photo tab: choose, restore, compare, download."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from hub.access import PAGE_OWNER
from hub.errors import HubError, NotFound
from hub.jobs.manager import JobView
from hub.jobs.model import Kind
from hub.media.image import encode
from hub.service import Hub, PhotoOptions
from hub.ui import models, stage, text
from hub.ui.cache import PageCache
from hub.ui.caption import photo_caption
from hub.ui.examples import Example
from hub.ui.picker import example_gallery, photo_picker, picked, refused
from hub.ui.tab import JobTab, Updates
from hub.ui.widgets import comparison, strength_slider

log = logging.getLogger(__name__)

PREVIEW_SIDE = 800


class PhotoTab(JobTab):
    """The tab for photos, with examples to try; a finished photo's strength can be changed without a new run."""

    kind = Kind.IMAGE
    name = "photo"
    tab_label = text.TAB_PHOTO
    run_label = text.RUN

    def __init__(self, hub: Hub, cache: PageCache, tabs: gr.Tabs, examples: Sequence[Example]) -> None:
        self._examples = {example.key: example for example in examples}
        super().__init__(hub, cache, tabs)

    def _build(self) -> None:
        with gr.Row(elem_classes="hub-columns"):
            with gr.Column(scale=5, min_width=280, elem_classes="hub-side"):
                with gr.Column(elem_classes="hub-card"):
                    gr.HTML(f"<h2>{text.PICKER_LABEL}</h2>", apply_default_css=False)
                    self.picker = photo_picker(self._hub.settings.max_upload_mb)
                    self.gallery = example_gallery(list(self._examples.values()))
                with gr.Column(elem_classes="hub-card"):
                    gr.HTML(f"<h2>{text.SETTINGS_TITLE}</h2>", apply_default_css=False)
                    self._build_choice()
                    self.patches = gr.Checkbox(
                        True, label=text.PATCH_LABEL, info=text.PATCH_INFO, elem_id="photo-patches"
                    )
                    self.strength = strength_slider(text.STRENGTH_LABEL, text.STRENGTH_INFO, "photo-strength")
                    self._build_run()
            with gr.Column(scale=7, min_width=280, elem_classes="hub-main", elem_id="photo-main"):  # noqa: SIM117
                with gr.Column(elem_classes="hub-card"):
                    gr.HTML(f"<h2>{text.STAGE_LABEL}</h2>", apply_default_css=False)
                    self._build_stage()
                    with gr.Column(visible=False, elem_classes="hub-result") as self.result:
                        self.compare = comparison("photo-compare")
                        with gr.Row(elem_classes="hub-finish"):
                            self.blend = strength_slider(
                                text.RESULT_STRENGTH_LABEL, text.RESULT_STRENGTH_INFO, "photo-blend"
                            )
                            self.download = gr.HTML("", apply_default_css=False, elem_id="photo-download")

    def _shown(self) -> list[Any]:
        return [self.compare, self.blend, self.download]

    def _connect(self) -> None:
        self.picker.upload(self._take_upload, None, self.picker, **self._bounded)
        self.gallery.select(self._take_example, None, self.picker, **self._bounded)
        # Not preprocessed: the hub checks the values itself and says what is wrong where the page can show it.
        self.run.click(
            self._run,
            [self.picker, self.task, self.model, self.patches, self.strength],
            [self.picker, *self._watched],
            preprocess=False,
            **self._bounded,
        ).then(None, js=self._show_stage, api_visibility="private")
        self.blend.input(
            self._reblend,
            [self.job, self.blend],
            [self.stage, self.compare, self.download],
            trigger_mode="always_last",
            **self._bounded,
        )

    def _take_upload(self, event: gr.EventData) -> dict[str, Any]:
        name = str(getattr(event, "name", "photo"))
        path = self._cache.resolve(getattr(event, "path", None))
        if path is None:
            return refused(text.PICKER_GONE)
        self._cache.sweep()
        return self._picture(path, name, upload=str(path))

    def _take_example(self, event: gr.EventData) -> dict[str, Any]:
        example = self._examples[event.key]
        return self._picture(example.path, example.path.name, example=example.key)

    def _picture(self, path: Path, name: str, **source: str) -> dict[str, Any]:
        """The picker's value for a photo, with a small JPEG of it that any browser can show; or what is wrong."""
        try:
            info = self._hub.decoder.probe(path)
            preview = self._cache.new_file("preview.jpg")
            encode(self._hub.decoder.preview(path, PREVIEW_SIDE), preview, format="jpeg", quality=85)
        except HubError as error:
            return refused(error.message)
        except Exception:
            log.exception("The preview of %r failed.", name)
            return refused(text.SERVER_ERROR)
        return picked(name, photo_caption(info), text.PICKER_ALT, preview, **source)

    def _source(self, photo: dict[str, Any]) -> Path | None:
        example = self._examples.get(str(photo.get("example")))
        return example.path if example else self._cache.resolve(photo.get("upload"))

    def _run(
        self,
        photo: Any,
        task: str,
        model: str | None,
        patches: bool,
        strength: float,
        request: gr.Request | None = None,
    ) -> Updates:
        if not photo or not photo.get("name"):
            return {self.picker: refused(text.PICKER_MISSING)}
        path = self._source(photo)
        if path is None:
            return {self.picker: refused(text.PICKER_GONE)}
        options = PhotoOptions(
            task_type=task,
            model_name=model,
            use_patch_processing=bool(patches),
            strength=float(strength),
            display=True,
        )
        return self._submit(
            path,
            lambda stream: self._hub.submit_photo(stream, photo["name"], options, owner=PAGE_OWNER),
            request,
        )

    def _reblend(self, job: Any, strength: float) -> Updates:
        try:
            view = self._hub.display.reblend(self._id_of(job), float(strength))
            updates = self._finished(view)
            updates.pop(self.blend)
            return {self.stage: stage.finished(view, models.model_names(self._hub.catalog)), **updates}
        except HubError as error:
            reason = error.message
        except Exception:
            log.exception("Blending job %r again failed.", job)
            reason = text.SERVER_ERROR
        return {self.stage: stage.problem(text.REBLEND_FAILED.format(reason=reason))}

    def _finished(self, view: JobView) -> Updates:
        """Before and after, the strength they were blended with, and the download."""
        job = view.job
        strength = float((job.result or {}).get("strength", job.spec.get("strength", 1.0)))
        link = {self.blend: strength, self.download: stage.download(job, strength)}
        try:
            with self._hub.display.pictures(job.id) as (before, after):
                self._cache.sweep()
                pair = (
                    str(self._cache.copy(before, job.id, "before.png")),
                    str(self._cache.copy(after, job.id, "after.png")),
                )
        except NotFound:
            return {**link, self.compare: None}
        return {**link, self.compare: pair}
