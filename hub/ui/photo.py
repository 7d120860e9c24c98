"""The photo tab: choose, restore, compare, download. It only submits and watches; the job lives in the hub."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from hub.errors import Busy, HubError, NotFound
from hub.jobs.manager import JobView
from hub.jobs.model import Kind, Status
from hub.media.image import encode
from hub.service import Hub, PhotoOptions
from hub.ui import models, stage, text
from hub.ui.cache import PageCache
from hub.ui.examples import Example
from hub.ui.picker import example_gallery, photo_picker, picked, refused

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
PHOTOS_AT_ONCE = 4  # Photos that are opened, submitted or blended at a time, each kind of them.
PREVIEW_SIDE = 800
# Not a secret: it lets a reopened page read what it stored in the browser before the server restarted.
_STORAGE_CIPHER = "uformer-hub-page"
_SHOW_STAGE = "() => document.querySelector('.hub-main').scrollIntoView({behavior: 'smooth', block: 'nearest'})"

Updates = dict[Any, Any]


class PhotoTab:
    """The tab's widgets and what they do. Build it inside a `gr.Tab`, then call `restore_on_load`."""

    def __init__(self, hub: Hub, cache: PageCache, examples: Sequence[Example]) -> None:
        self._hub = hub
        self._cache = cache
        self._examples = {example.key: example for example in examples}
        self._build()
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

    def _build(self) -> None:
        catalog = self._hub.catalog
        tasks = models.task_choices(catalog)
        task = tasks[0][1]
        model = models.preferred_model(catalog, task)
        self.job = gr.BrowserState(None, storage_key="uformer-hub-photo-job", secret=_STORAGE_CIPHER)
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        with gr.Row(elem_classes="hub-columns"):
            with gr.Column(scale=5, min_width=280, elem_classes="hub-side"):
                with gr.Column(elem_classes="hub-card"):
                    gr.HTML(f"<h2>{text.PICKER_LABEL}</h2>", apply_default_css=False)
                    self.picker = photo_picker(self._hub.settings.max_upload_mb)
                    self.gallery = example_gallery(list(self._examples.values()))
                with gr.Column(elem_classes="hub-card"):
                    gr.HTML(f"<h2>{text.SETTINGS_TITLE}</h2>", apply_default_css=False)
                    self.task = gr.Radio(tasks, value=task, label=text.TASK_LABEL, elem_id="photo-task")
                    self.model = gr.Dropdown(
                        models.model_choices(catalog, task),
                        value=model,
                        label=text.MODEL_LABEL,
                        filterable=False,
                        elem_id="photo-model",
                    )
                    self.model_note = gr.HTML(self._note(model), apply_default_css=False, elem_id="photo-model-note")
                    self.patches = gr.Checkbox(
                        True, label=text.PATCH_LABEL, info=text.PATCH_INFO, elem_id="photo-patches"
                    )
                    self.strength = _strength_slider(text.STRENGTH_LABEL, text.STRENGTH_INFO, "photo-strength")
                    self.run = gr.Button(text.RUN, variant="primary", size="lg", elem_id="photo-run")
            with gr.Column(scale=7, min_width=280, elem_classes="hub-card hub-main"):
                gr.HTML(f"<h2>{text.STAGE_LABEL}</h2>", apply_default_css=False)
                self.stage = gr.HTML(stage.empty(), apply_default_css=False, elem_id="photo-stage")
                self.cancel = gr.Button(text.CANCEL, visible=False, elem_id="photo-cancel")
                with gr.Column(visible=False, elem_classes="hub-result") as self.result:
                    gr.HTML(stage.before_after(), apply_default_css=False)
                    self.compare = gr.ImageSlider(
                        label=text.COMPARE_LABEL,
                        show_label=False,
                        type="filepath",
                        format="png",
                        buttons=["fullscreen"],
                        interactive=False,
                        max_height=640,
                        elem_id="photo-compare",
                    )
                    with gr.Row(elem_classes="hub-finish"):
                        self.blend = _strength_slider(
                            text.RESULT_STRENGTH_LABEL, text.RESULT_STRENGTH_INFO, "photo-blend"
                        )
                        self.download = gr.HTML("", apply_default_css=False, elem_id="photo-download")
        self._watched = [
            self.job,
            self.timer,
            self.run,
            self.stage,
            self.cancel,
            self.result,
            self.compare,
            self.blend,
            self.download,
        ]

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
        bounded = {**quiet, "concurrency_limit": PHOTOS_AT_ONCE}
        self.picker.upload(self._take_upload, None, self.picker, **bounded)
        self.gallery.select(self._take_example, None, self.picker, **bounded)
        self.task.change(self._change_task, [self.task, self.model], [self.model, self.model_note], **quiet)
        self.model.change(self._note, self.model, self.model_note, **quiet)
        # Not preprocessed: the hub checks the values itself and says what is wrong where the page can show it.
        self.run.click(
            self._run,
            [self.picker, self.task, self.model, self.patches, self.strength],
            [self.picker, *self._watched],
            preprocess=False,
            **bounded,
        ).then(None, js=_SHOW_STAGE, api_visibility="private")
        self.timer.tick(self._watch, self.job, self._watched, **quiet)
        self.cancel.click(self._cancel, self.job, self._watched, **quiet)
        self.blend.input(
            self._reblend,
            [self.job, self.blend],
            [self.stage, self.compare, self.download],
            trigger_mode="always_last",
            **bounded,
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
        size = text.SIZE.format(width=info.width, height=info.height)
        caption = f"{size} · {info.format.upper()} · {text.BIT_DEPTH.format(bits=info.bit_depth)}"
        return picked(name, caption, f"gradio_api/file={preview}", **source)

    def _source(self, photo: dict[str, Any]) -> Path | None:
        example = self._examples.get(str(photo.get("example")))
        return example.path if example else self._cache.resolve(photo.get("upload"))

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

    def _run(self, photo: Any, task: str, model: str | None, patches: bool, strength: float) -> Updates:
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
        try:
            with path.open("rb") as stream:
                job = {"id": self._hub.submit_photo(stream, photo["name"], options).id}
        except HubError as error:
            return self._idle(stage.problem(error.message))
        except Exception:
            log.exception("Submitting a photo failed.")
            return self._idle(stage.problem(text.SERVER_ERROR))
        return {self.job: job, **self._look(job, fresh=True)}

    def _watch(self, job: Any) -> Updates:
        return self._look(job, fresh=False)

    def _look(self, job: Any, *, fresh: bool) -> Updates:
        """The updates that show the browser's job; only its progress if it is running and not `fresh` on the page."""
        try:
            view = self._hub.view(str(job["id"]), Kind.IMAGE)
            if view.job.status.finished or fresh:
                return self._show(view)
            return {self.stage: stage.working(view)}
        except Busy as error:  # It passes: the next look will tell.
            return self._working(stage.busy(error.message))
        except (NotFound, KeyError, TypeError):  # deleted meanwhile, or another version's browser state
            return {self.job: None, **self._idle(stage.empty())}
        except Exception:
            log.exception("Showing job %r failed.", job)
            return self._idle(stage.problem(text.SERVER_ERROR))

    def _cancel(self, job: Any) -> Updates:
        try:
            return self._show(self._hub.cancel(str(job["id"])))
        except (NotFound, KeyError, TypeError):
            return {self.job: None, **self._idle(stage.empty())}
        except HubError as error:
            reason = error.message
        except Exception:
            log.exception("Cancelling job %r failed.", job)
            reason = text.SERVER_ERROR
        # The job goes on and so does the page, which would soon replace these words on the stage.
        gr.Warning(text.CANCEL_FAILED.format(reason=reason))
        return {self.timer: gr.Timer(active=True)}

    def _reblend(self, job: Any, strength: float) -> Updates:
        try:
            view = self._hub.reblend(str(job["id"]), float(strength))
            updates = self._pictures(view)
            updates.pop(self.blend)
            return {self.stage: stage.finished(view, models.model_names(self._hub.catalog)), **updates}
        except HubError as error:
            reason = error.message
        except Exception:
            log.exception("Blending job %r again failed.", job)
            reason = text.SERVER_ERROR
        return {self.stage: stage.problem(text.REBLEND_FAILED.format(reason=reason))}

    def _show(self, view: JobView) -> Updates:
        """Everything the page shows of a job in whatever state."""
        match view.job.status:
            case Status.COMPLETED:
                done = stage.finished(view, models.model_names(self._hub.catalog))
                return {**self._idle(done), self.result: gr.Column(visible=True), **self._pictures(view)}
            case Status.FAILED:
                return self._idle(stage.problem(view.job.error or text.SERVER_ERROR))
            case Status.CANCELLED:
                return self._idle(stage.cancelled())
        return self._working(stage.working(view))

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
            self.run: gr.Button(text.RUN, interactive=True),
            self.stage: words,
            self.cancel: gr.Button(visible=False),
            self.result: gr.Column(visible=False),
        }

    def _pictures(self, view: JobView) -> Updates:
        """Before and after, the strength they were blended with, and the download."""
        job = view.job
        strength = float((job.result or {}).get("strength", job.spec.get("strength", 1.0)))
        link = {self.blend: strength, self.download: stage.download(job, strength)}
        try:
            before, after = self._hub.display_files(job.id)
            self._cache.sweep()
            pair = (str(self._cache.copy(before, job.id)), str(self._cache.copy(after, job.id)))
        except NotFound:
            return {**link, self.compare: None}
        return {**link, self.compare: pair}


def _strength_slider(label: str, info: str, elem_id: str) -> gr.Slider:
    return gr.Slider(0.0, 1.0, value=1.0, step=0.05, label=label, info=info, elem_id=elem_id)
