"""The video tab: choose a clip, preview a frame, restore, play before and after in step, download."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from hub.errors import HubError, NotFound
from hub.jobs.manager import JobView
from hub.jobs.model import Kind
from hub.ui import stage
from hub.ui.caption import clip_caption
from hub.ui.clip_settings import ClipSettings
from hub.ui.clips import clip_addresses, latest_address
from hub.ui.forecast import TrimButtons, foretell
from hub.ui.frame import FramePreview
from hub.ui.frames import Span, save_poster
from hub.ui.language import say
from hub.ui.picker import clip_picker, picked, refused
from hub.ui.player import clip_player, playing
from hub.ui.problems import explain, explain_job
from hub.ui.selection import holding
from hub.ui.tab import BOUNDED, QUIET, JobTab, Updates
from hub.ui.visitors import check_rate, owner_of

log = logging.getLogger(__name__)


class VideoTab(JobTab):
    """The tab for clips."""

    kind = Kind.VIDEO
    name = "video"
    tab_label = "tab_video"
    run_label = "run_clip"

    def _build(self) -> None:
        with gr.Row(elem_classes="hub-columns"):
            with gr.Column(scale=5, min_width=280, elem_classes="hub-side"):
                self._build_picker()
                self._build_settings()
            with gr.Column(scale=7, min_width=280, elem_classes="hub-main", elem_id="video-main"):
                self.preview = FramePreview(self._hub, self._cache)
                self._build_result()

    def _build_picker(self) -> None:
        with gr.Column(elem_classes="hub-card"):
            gr.HTML(f"<h2>{say('clip_picker_label')}</h2>", apply_default_css=False)
            self.picker = clip_picker(self._hub.settings.max_upload_mb)
            self.wanted = gr.State(None)  # Another value with all that a forecast depends on.
            with gr.Column(visible=False, elem_classes="hub-frame", elem_id="video-frame") as self.chooser:
                self.second = gr.Slider(
                    0.0,
                    1.0,
                    value=0.0,
                    step=0.01,
                    label=say("frame_label"),
                    info=say("frame_info"),
                    buttons=[],
                    elem_id="video-second",
                )
                self.trim = TrimButtons()
                self.look = gr.Button(say("preview"), elem_id="video-look")

    def _build_settings(self) -> None:
        with gr.Column(elem_classes="hub-card"):
            gr.HTML(f"<h2>{say('settings_title')}</h2>", apply_default_css=False)
            self._build_choice()
            self.settings = ClipSettings(self.task, self.model)
            self._build_run()
            self.forecast = gr.HTML("", apply_default_css=False, elem_id="video-forecast")

    def _build_result(self) -> None:
        with gr.Column(elem_classes="hub-card"):
            gr.HTML(f"<h2>{say('stage_label')}</h2>", apply_default_css=False)
            self._build_stage()
            self.resume = gr.Button(
                say("resume"),
                variant="primary",
                visible=False,
                elem_id="video-resume",
                elem_classes="hub-small-button",
            )
            self.discard = gr.Button(
                say("discard"), visible=False, elem_id="video-discard", elem_classes="hub-small-button"
            )
            with gr.Column(visible=False, elem_classes="hub-result") as self.result:
                self.player = clip_player("video-player")
                self.download = gr.HTML("", apply_default_css=False, elem_id="video-download")

    def _shown(self) -> list[Any]:
        return [self.resume, self.discard, self.player, self.download]

    def _connect(self) -> None:
        # Not preprocessed: the hub checks the values itself and says what is wrong where the page can show it.
        choices = {self.picker, self.visitor, *self.settings.widgets}
        told: dict[str, Any] = {
            "fn": self._forecast,
            "inputs": choices,
            "outputs": [self.trim.range, self.forecast],
            "preprocess": False,
            "trigger_mode": "always_last",
            **BOUNDED,
        }
        self.picker.upload(
            self._take_upload,
            None,
            [self.picker, self.wanted, self.chooser, self.second, self.preview.card, *self.settings.range],
            trigger_mode="multiple",  # "once" would drop one that comes before Gradio has noted the end of another.
            **BOUNDED,
        )
        self.settings.connect(**QUIET)
        # By way of a state: what else follows from a widget's change would wait for the forecast.
        changed = [widget.change for widget in self.settings.widgets]
        gr.on(changed, _token, None, self.wanted, trigger_mode="multiple", **QUIET)
        self.wanted.change(**told)  # One at a time, so that none comes after a newer one.
        self.trim.connect(self.picker, self.second, *self.settings.range, **QUIET)
        self.second.input(
            self._seek, [self.picker, self.second], self.picker, preprocess=False, trigger_mode="always_last", **BOUNDED
        )
        self.run.click(
            self._run,
            choices,
            [self.picker, self.wanted, self.chooser, self.preview.card, *self._watched],
            preprocess=False,
            **BOUNDED,
        ).then(None, js=self._show_outcome, api_visibility="private")
        self.look.click(None, js=self._show_stage, api_visibility="private")
        self.look.click(
            self._preview,
            choices | {self.second},
            [self.picker, self.wanted, self.chooser, self.look, *self.preview.shown],
            preprocess=False,
            trigger_mode="once",
            **BOUNDED,
        )
        self.resume.click(self._resume, self.job, self._watched, **QUIET)
        self.discard.click(self._discard, self.job, self._watched, **QUIET)

    def _take_upload(self, event: gr.EventData) -> Updates:
        name = str(getattr(event, "name", "clip"))
        asked = getattr(event, "asked", None)
        path = self._cache.resolve(getattr(event, "path", None))
        if path is None:
            return self._refused(say("clip_picker_gone"), asked)
        self._cache.sweep()
        try:
            info = self._hub.clips.probe(path)
            span = Span.of(info)
            poster = save_poster(self._hub, self._cache, path, info, span.telling)
        except HubError as error:
            return self._refused(explain(error), asked)
        except Exception:
            log.exception("Opening the clip %r failed.", name)
            return self._refused(say("server_error"), asked)
        source = {"upload": str(path), "span": asdict(span)}
        return {
            self.picker: holding(
                [picked(name, clip_caption(info), say("clip_picker_alt"), poster, **source)], answers=asked
            ),
            self.wanted: _token(),
            self.chooser: gr.Column(visible=True),
            self.second: gr.Slider(
                minimum=round(span.first, 2), maximum=round(span.last, 2), value=span.telling, visible=span.last > 0
            ),
            **self.preview.hidden,
            **dict.fromkeys(self.settings.range, ""),
        }

    def _refused(self, message: str, asked: Any = None) -> Updates:
        return {
            self.picker: refused(message, asked),
            self.wanted: None,
            self.chooser: gr.Column(visible=False),
            **self.preview.hidden,
        }

    def _forecast(self, values: dict[Any, Any]) -> Iterator[Updates]:
        """Say which part is chosen, then how long it will take and how large the result will be."""
        clip = values[self.picker]
        path = self._source(clip)
        if isinstance(path, str):
            yield {self.trim.range: "", self.forecast: ""}
            return
        span = Span(**clip["span"])
        choose = partial(self.settings.options, values)
        yield from foretell(self._hub, path, span, choose, part=self.trim.range, line=self.forecast)

    def _seek(self, clip: Any, seconds: float | None) -> Any:
        """The picker with the frame at another time; the old one where that cannot be had."""
        path = self._cache.resolve((clip or {}).get("upload"))
        if path is None:
            return gr.skip()
        try:
            span = Span(**clip["span"])
            poster = save_poster(self._hub, self._cache, path, self._hub.clips.probe(path), span.clamp(seconds))
        except HubError as error:
            log.info("No frame of %s at %s s: %s", path.name, seconds, error.message)
            return gr.skip()
        return {**clip, "preview": f"gradio_api/file={poster}"}

    def _source(self, clip: Any) -> Path | str:
        """The chosen clip, or why there is none."""
        if not clip or not clip.get("name"):
            return say("clip_picker_missing")
        return self._cache.resolve(clip.get("upload")) or say("clip_picker_gone")

    def _run(self, values: dict[Any, Any], request: gr.Request | None = None) -> Updates:
        clip = values[self.picker]
        path = self._source(clip)
        if isinstance(path, str):
            return self._refused(path)
        # The times that were written are looked at where an error can be told.
        updates = self._submit(
            path,
            lambda stream: self._hub.submit_video(
                stream, clip["name"], self.settings.options(values), owner=owner_of(self._hub, values[self.visitor])
            ),
            request,
        )
        return {**self.preview.hidden, **updates}

    def _preview(self, values: dict[Any, Any], request: gr.Request | None = None) -> Iterator[Updates]:
        """Restore one frame and show it; says at once that it is being done."""
        clip = values[self.picker]
        path = self._source(clip)
        if isinstance(path, str):
            yield self._refused(path)
            return
        span = Span(**clip["span"])
        busy = {self.look: gr.Button(interactive=False)}
        for updates in self.preview.restore(
            path, span, span.clamp(values[self.second]), lambda: self.settings.options(values), request
        ):
            yield {**busy, **updates}
            busy = {self.look: gr.Button(interactive=True)}

    def _resume(self, job: Any, request: gr.Request | None = None) -> Updates:
        try:
            job_id = self._id_of(job)
            check_rate(self._hub, request)
            return self._show(self._hub.resume(job_id))
        except (NotFound, KeyError, TypeError):
            return self._forget()
        except HubError as error:
            reason = explain(error)
        except Exception:
            log.exception("Resuming job %r failed.", job)
            reason = say("server_error")
        gr.Warning(say("resume_failed", reason=reason))
        return {self.timer: gr.skip()}

    def _discard(self, job: Any) -> Updates:
        """Delete what is kept of a failed job."""
        try:
            self._hub.manager.delete(self._id_of(job))
        except (NotFound, KeyError, TypeError):
            return self._forget()  # Deleted already, which is what was asked for.
        except HubError as error:
            gr.Warning(say("discard_failed", reason=explain(error)))
            return {self.timer: gr.skip()}
        return self._forget()

    def _empty(self) -> str:
        return stage.empty(say("empty_clip_title"), say("empty_clip_hint"))

    def _cancelled(self) -> str:
        return stage.cancelled(say("nothing_kept_hint"))

    def _progress(self, view: JobView) -> str:
        return stage.working(view, latest_address(self._hub, view.job), leave_hint=self._leave_hint)

    def _failed(self, view: JobView) -> Updates:
        hint = say("resume_hint") if view.resumable else ""
        words = stage.problem(explain_job(view.job), hint=hint)
        shown = gr.Button(visible=view.resumable)
        return {**self._idle(words), self.resume: shown, self.discard: shown}

    def _working(self, words: str) -> Updates:
        return {**super()._working(words), **self._nothing_to_resume}

    def _idle(self, words: str) -> Updates:
        return {**super()._idle(words), **self._nothing_to_resume}

    @property
    def _nothing_to_resume(self) -> Updates:
        return {button: gr.Button(visible=False) for button in (self.resume, self.discard)}

    def _finished(self, view: JobView) -> Updates:
        """Before and after to play, and the download."""
        job, result = view.job, view.job.result or {}
        try:
            before, after = clip_addresses(self._hub, job)
        except (NotFound, FileNotFoundError):
            return {self.player: None, self.download: stage.note(say("clips_gone")) + stage.download(job)}
        # A copy for the page, of a result that browsers do not play, is silent.
        sound = bool(result.get("audio_streams")) and f"/{after}" == job.result_path
        frames, seconds = int(result.get("frames", 0)), float(result.get("duration", 0.0))
        value = playing(before, after, frames=frames, seconds=seconds, sound=sound)
        return {self.player: value, self.download: stage.download(job)}


def _token() -> str:
    """A value like no other."""
    return secrets.token_hex(4)
