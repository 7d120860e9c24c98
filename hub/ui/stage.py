"""What the result column says at each step of a job, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from hub.errors import HubError
from hub.jobs.manager import JobView
from hub.jobs.model import Job, Kind, Status
from hub.ui.language import say
from hub.ui.measures import codec_name, duration, file_size
from hub.ui.notes import note_words
from hub.ui.problems import explain
from hub.ui.steps import step_words

# Up to here a job has only announced its next step, and its pace says nothing: a photo of one tile stays here.
PREPARED_PERCENT = 8
_SEPARATOR = "\N{NO-BREAK SPACE}· "  # No line begins with a dot.
_EMPTY_ICON = (
    '<svg viewBox="0 0 64 48" aria-hidden="true" focusable="false"><rect x="4" y="4" width="56" height="40" rx="6"/>'
    '<path d="M32 4v40M21 24l6-5m-6 5l6 5M43 24l-6-5m6 5l-6 5"/></svg>'
)


def empty(title: str = "", hint: str = "") -> str:
    """Before the first run; of a photo, unless told otherwise."""
    title, hint = title or say("empty_title"), hint or say("empty_hint")
    return f'<div class="hub-stage hub-empty">{_EMPTY_ICON}<h3>{title}</h3><p>{hint}</p></div>'


def problem(error: HubError | str, title: str = "", hint: str = "") -> str:
    """An error, in the place where the result would be; one of the hub's is explained."""
    message = explain(error) if isinstance(error, HubError) else error
    more = f'<p class="hub-small">{html.escape(hint)}</p>' if hint else ""
    return (
        f'<div class="hub-stage hub-problem" role="alert"><h3>{html.escape(title or say("failed_title"))}</h3>'
        f"<p>{html.escape(message)}</p>{more}</div>"
    )


def cancelled(hint: str = "") -> str:
    """After a cancel."""
    words = hint or say("cancelled_hint")
    return f'<div class="hub-stage hub-quiet" role="status"><h3>{say("cancelled_title")}</h3><p>{words}</p></div>'


def waiting(message: str) -> str:
    """While something short is done that tells no progress."""
    return (
        f'<div class="hub-stage hub-quiet" role="status"><span class="hub-spinner" aria-hidden="true"></span>'
        f"<p>{html.escape(message)}</p></div>"
    )


def previewed(time: str, model: str, *, smooths: bool) -> str:
    """Above the comparison of one frame of a clip."""
    facts = html.escape(say("preview_facts", time=time, model=model))
    hint = f"<p>{say('preview_hint')}</p>" if smooths else ""
    return f'<div class="hub-stage" role="status"><p class="hub-facts">{facts}</p>{hint}</div>'


def part(facts: str) -> str:
    """Above the comparison of a part of a photo."""
    return f'<div class="hub-stage" role="status"><p class="hub-facts">{html.escape(facts)}</p></div>'


def busy(error: HubError) -> str:
    """While the hub cannot tell how the job stands."""
    return (
        f'<div class="hub-stage hub-quiet" role="status"><h3>{say("busy_title")}</h3>'
        f"<p>{html.escape(explain(error))}</p><p>{say('busy_hint')}</p></div>"
    )


def working(view: JobView, latest: str | None = None, *, leave_hint: str = "") -> str:
    """A pending or running job: place in the queue, or a bar with percentage and time left once they are measured.

    latest: address of the frame of a clip that was restored last. A clip's stage has room for it from the start.
    leave_hint: what becomes of the job when the page is closed.
    """
    name = html.escape(view.job.filename)
    title = say("queued_title") if view.job.status is Status.PENDING else say("working_title")
    return (
        f'<div class="hub-stage hub-working"><p class="hub-eyebrow">{title}</p><h3 title="{name}">{name}</h3>'
        f'{bar(view, title)}<p class="hub-small">{leave_hint or say("leave_hint")}</p>'
        f"{_latest(latest) if view.job.kind is Kind.VIDEO else ''}</div>"
    )


def bar(view: JobView, label: str) -> str:
    """How far a pending or running job is: a bar and the words below it. label: of the bar, for those who hear it."""
    percent, aside = None, ""
    if view.job.status is Status.PENDING:
        message = queue_words(view.queue_position)
    else:
        message = step_words(view)
        if view.progress > PREPARED_PERCENT or view.details:
            percent, aside = view.progress, f"{view.progress} % · {eta_words(view.eta_seconds)}"
    amount = "" if percent is None else f' aria-valuenow="{percent}" aria-valuetext="{html.escape(aside)}"'
    fill = "<i></i>" if percent is None else f'<span style="width:{percent}%"></span>'
    return (
        f'<div class="hub-bar" role="progressbar" aria-label="{html.escape(label)}" '
        f'aria-valuemin="0" aria-valuemax="100"{amount}>{fill}</div>'
        f'<p class="hub-bar-words"><span>{html.escape(message)}</span><span class="hub-numbers">{aside}</span></p>'
    )


def finished(view: JobView, model_names: Mapping[str, str]) -> str:
    """The heading and facts above the comparison of a completed job."""
    job = view.job
    facts = _facts(job, model_names)
    notes = "".join(f"<li>{html.escape(note_words(str(note)))}</li>" for note in (job.result or {}).get("notes", ()))
    if notes:
        notes = f'<ul class="hub-notes">{notes}</ul>'
    return (
        f'<div class="hub-stage hub-done" role="status"><h3 title="{html.escape(job.filename)}">'
        f"{html.escape(job.filename)}</h3>"
        f'<p class="hub-facts">{_SEPARATOR.join(html.escape(fact) for fact in facts)}</p>'
        f"{notes}</div>"
    )


def download(job: Job, version: float | None = None) -> str:
    """A link that saves the result under the file's own name.

    Relative, so that it holds below a sub-path too; `version` makes a new address of a new blend.
    """
    if job.result_path is None:
        return ""
    address = job.result_path.lstrip("/") + ("" if version is None else f"?v={version:g}")
    name = download_name(job)
    suffix = PurePosixPath(name).suffix.lstrip(".").upper()
    return (
        f'<a class="hub-download" href="{html.escape(address)}" download="{html.escape(name)}">'
        f"<span>{say('download')}</span><small>{html.escape(suffix)}</small></a>"
    )


def note(words: str) -> str:
    """A remark beside something else."""
    return f'<p class="hub-note">{words}</p>'


def download_name(job: Job) -> str:
    """The client's file name with `-restored`, and the suffix that the result really has."""
    suffix = PurePosixPath(unquote(job.result_path or "")).suffix
    return say("download_name", stem=PurePosixPath(job.filename).stem, suffix=suffix)


def queue_words(position: int | None) -> str:
    """Where in the queue a pending job stands; 1 is next."""
    if position is None or position <= 1:
        return say("queued_next")
    return say("queued_position", position=position)


def eta_words(seconds: float | None) -> str:
    """Seconds left as people say them."""
    return say("eta_unknown") if seconds is None else say("eta", time=duration(seconds))


def _latest(address: str | None) -> str:
    """The frame that was restored last, or the room for it."""
    picture = f'<img src="{html.escape(address)}" alt="{say("latest_alt")}">' if address else ""
    return f'<figure class="hub-latest">{picture}</figure>'


def _facts(job: Job, names: Mapping[str, str]) -> list[str]:
    """Size, length, format, model and time of a completed job, as far as its result tells them."""
    result: dict[str, Any] = job.result or {}
    facts = []
    if {"width", "height"} <= result.keys():
        facts.append(say("size", width=result["width"], height=result["height"]))
    if "frames" in result:
        frames = result["frames"]
        facts.append(say("one_frame") if frames == 1 else say("frames", frames=frames))
    if "codec" in result:
        facts.append(codec_name(result["codec"]))
    if "frames" in result and "bytes" in result:
        facts.append(file_size(result["bytes"]))
    if "model" in result:
        facts.append(names.get(result["model"], result["model"]))
    if "seconds" in result:
        facts.append(say("took", time=duration(result["seconds"])))
    return facts
