"""One job as a line of the list of jobs: what it shows and what can be done with it, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hub.jobs.manager import JobView
from hub.jobs.model import Job, Kind, Status
from hub.ui import stage
from hub.ui.board import badge, button
from hub.ui.language import say
from hub.ui.measures import file_size
from hub.ui.models import task_name
from hub.ui.problems import explain_job
from hub.ui.thumbnails import thumbnail_address, version

_INSTALL_ICON = (
    '<svg viewBox="0 0 48 48" aria-hidden="true" focusable="false">'
    '<path d="M24 10v19m-8-7l8 8 8-8M12 33v4h24v-4"/></svg>'
)
_TABS = {Kind.IMAGE: "photo", Kind.VIDEO: "video"}
_GONE_ICON = (
    '<svg viewBox="0 0 48 48" aria-hidden="true" focusable="false"><rect x="9" y="12" width="30" height="24" rx="4"/>'
    '<path d="M10 12l28 24"/></svg>'
)


def entry(view: JobView, names: Mapping[str, str]) -> dict[str, str]:
    """A job for the list: its `id`, the `html` of its line, what of that moves (`live`), and what is `said` of changes.

    names: of models, by which people know them.
    """
    job = view.job
    title = title_of(job, names)
    shown = html.escape(title)
    state = say(f"state_{job.status}")
    still = (
        f'<div class="hub-entry-picture">{_picture(job)}</div>'
        f'<div class="hub-entry-words"><h3 title="{shown}">{shown}</h3>'
        f'<p class="hub-entry-facts">{badge(job.status, state)}{_facts(job, names)}</p><div data-live></div></div>'
        f'<div class="hub-entry-actions">{_actions(view, title)}</div>'
    )
    return {"id": job.id, "html": still, "live": _live(view, title), "said": f"{title}: {state}"}


def title_of(job: Job, names: Mapping[str, str]) -> str:
    """A job's name: of its file, or of what it installs."""
    if job.kind is not Kind.INSTALL:
        return job.filename
    return ", ".join(names.get(name, name) for name in job.spec.get("model_names", ()))


def _picture(job: Job) -> str:
    address = thumbnail_address(job)
    if address is None:
        return _INSTALL_ICON if job.kind is Kind.INSTALL else _GONE_ICON
    return f'<img src="{address}" alt="" loading="lazy" decoding="async">'


def _facts(job: Job, names: Mapping[str, str]) -> str:
    facts = [html.escape(words) for words in _words(job, names)]
    sent = datetime.fromtimestamp(job.created_at, UTC).isoformat(timespec="seconds")
    facts.append(f'<time datetime="{sent}"></time>')  # In words, by the browser: it knows its clock and its zone.
    return "".join(f"<span>{fact}</span>" for fact in facts)


def _words(job: Job, names: Mapping[str, str]) -> list[str]:
    if job.kind is Kind.INSTALL:
        return [say("activity_install")]
    result: dict[str, Any] = job.result or {}
    words = [task_name(job.task)]
    model = result.get("model") or job.spec.get("model_name")
    if model:
        words.append(names.get(model, model))
    if "bytes" in result:
        words.append(file_size(int(result["bytes"])))
    return words


def _live(view: JobView, title: str) -> str:
    """What changes from second to second, or why the job has failed."""
    if not view.job.status.finished:
        return stage.bar(view, f"{say(f'state_{view.job.status}')}: {title}")
    if view.job.status is Status.FAILED:
        hint = f" {say('resume_hint')}" if view.resumable else ""
        return f'<p class="hub-entry-problem">{html.escape(explain_job(view.job) + hint)}</p>'
    return ""


def _actions(view: JobView, title: str) -> str:
    job = view.job
    actions = []
    if view.resumable:
        actions.append(button("resume", say("resume"), title, "hub-action-first"))
    if job.kind.has_files and job.status in (Status.PENDING, Status.PROCESSING, Status.COMPLETED):
        look = "hub-action-first" if job.status is Status.COMPLETED else ""
        actions.append(button("show", say("activity_show"), title, look, tab=_TABS[job.kind]))
    if job.status is Status.COMPLETED and job.result_path is not None:
        actions.append(_download(job, job.result_path, title))
    if not job.status.finished:
        actions.append(button("cancel", say("cancel"), title))
    else:
        ask = say("activity_delete_ask" if job.kind.has_files else "activity_forget_ask", name=title)
        actions.append(
            button("delete", say("activity_delete"), title, "hub-action-quiet", ask=ask, yes=say("activity_delete"))
        )
    return "".join(actions)


def _download(job: Job, result_path: str, title: str) -> str:
    words = say("download")
    address = html.escape(f"{result_path.lstrip('/')}?v={version(job)}")
    return (
        f'<a class="hub-action" href="{address}" download="{html.escape(stage.download_name(job))}" '
        f'aria-label="{html.escape(f"{words}: {title}")}">{html.escape(words)}</a>'
    )
