"""The list of a browser's jobs, on a real hub; see test_activity_browser.py for the page that shows it."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from hub.access import PAGE_OWNER
from hub.errors import Busy, NotFound
from hub.jobs.model import Job, Kind, Status
from hub.service import Hub, PhotoOptions, VideoOptions
from hub.ui.activity import PAGE, ActivityTab
from hub.ui.cache import PageCache
from hub.ui.language import say
from hub.ui.photo import PhotoTab
from hub.ui.video import VideoTab
from hub.ui.visitors import own_job, owner_of, visitor_state

SECONDS = 300


@pytest.fixture(scope="module")
def tab(hub: Hub) -> ActivityTab:
    async def build() -> ActivityTab:  # Outside a running event loop Gradio makes loops that it never closes.
        cache = PageCache(hub.settings.data_dir / "page", max_bytes=1 << 30, max_age=3600)
        with gr.Blocks(analytics_enabled=False):
            tabs, visitor = gr.Tabs(), visitor_state()
            photo = PhotoTab(hub, cache, tabs, visitor, [])
            return ActivityTab(hub, cache, tabs, visitor, photo, VideoTab(hub, cache, tabs, visitor))

    return asyncio.run(build())


@pytest.fixture
def visitor() -> str:
    """The word of a browser that has sent nothing yet."""
    return secrets.token_urlsafe(24)


@pytest.fixture
def sent(hub: Hub, visitor: str, noisy_png: Path) -> Job:
    """A photo that this browser has just sent."""
    with noisy_png.open("rb") as stream:
        return hub.submit_photo(stream, "beach & sun.png", PhotoOptions(display=True), owner=owner_of(hub, visitor))


def event(**data: Any) -> gr.EventData:
    return gr.EventData(None, {"limit": PAGE, "seen": "", **data})


def look(tab: ActivityTab, visitor: str | None, **data: Any) -> dict[str, Any]:
    told: dict[str, Any] = tab._look(visitor, event(**data))
    return told


def put(hub: Hub, visitor: str, **more: Any) -> Job:
    """A job of this browser that nobody will run."""
    job = Job.new(more.pop("kind", Kind.IMAGE), "denoise", more.pop("spec", {}), "put.png", owner_of(hub, visitor))
    job = Job(**{**vars(job), **more})
    assert hub._store.add(job)
    return job


def test_a_photo_from_sending_to_showing(hub: Hub, tab: ActivityTab, visitor: str, sent: Job) -> None:
    [row] = look(tab, visitor)["rows"]
    assert row["id"] == sent.id
    assert "beach &amp; sun.png" in row["html"]
    assert 'data-do="cancel"' in row["html"]
    assert 'role="progressbar"' in row["live"]

    hub.manager.wait(sent.id, SECONDS)
    told = look(tab, visitor)
    [row] = told["rows"]
    assert not told["busy"]
    assert row["said"] == f"beach & sun.png: {say('state_completed')}"
    assert 'download="beach &amp; sun-restored.png"' in row["html"]
    assert "Uformer-16" in row["html"]
    assert [name for name in ("show", "delete") if f'data-do="{name}"' not in row["html"]] == []
    assert row["live"] == ""

    updates = tab._open(visitor, event(id=sent.id))
    photo = tab._opens[Kind.IMAGE]
    assert updates[tab._tabs].selected == photo.name
    assert updates[photo.job] == {"id": sent.id}
    assert "beach &amp; sun.png" in updates[photo.stage]


def test_a_clip_is_shown_in_the_tab_of_clips(hub: Hub, tab: ActivityTab, visitor: str, noisy_clip: Path) -> None:
    with noisy_clip.open("rb") as stream:
        options = VideoOptions(display=True)
        job = hub.submit_video(stream, "boat & sea.mp4", options, owner=owner_of(hub, visitor))
    video = tab._opens[Kind.VIDEO]
    running = tab._open(visitor, event(id=job.id))
    assert running[tab._tabs].selected == video.name
    assert running[video.timer].active

    assert hub.manager.wait(job.id, SECONDS).job.status is Status.COMPLETED
    [row] = look(tab, visitor)["rows"]
    assert 'data-do="show"' in row["html"]
    updates = tab._open(visitor, event(id=job.id))

    assert updates[tab._tabs].selected == video.name
    assert updates[video.job] == {"id": job.id}
    assert not updates[video.timer].active
    assert "boat &amp; sea.mp4" in updates[video.stage]
    assert updates[video.result].visible
    assert updates[video.player]["before"].startswith(f"clips/{job.id}/before.mp4")
    assert updates.keys() <= {tab._tabs, tab.jobs, *video.watched}
    assert tab._opens[Kind.IMAGE].job not in updates


def test_what_was_deleted_meanwhile_is_not_shown(hub: Hub, tab: ActivityTab, visitor: str, sent: Job) -> None:
    hub.manager.delete(sent.id)

    updates = tab._open(visitor, event(id=sent.id))

    assert list(updates) == [tab.jobs]
    acted = updates[tab.jobs]["acted"]
    assert (acted["id"], acted["problem"]) == (sent.id, say("error_task_not_found"))


def test_nothing_is_told_twice(tab: ActivityTab, visitor: str, hub: Hub) -> None:
    put(hub, visitor, status=Status.FAILED, error="Broken.", error_code="broken")
    told = look(tab, visitor)

    again = tab._look(visitor, event(seen=told["seen"]))
    assert "rows" not in again
    assert look(tab, visitor, seen="another")["rows"] == told["rows"]


def test_a_job_is_deleted_with_its_files(hub: Hub, tab: ActivityTab, visitor: str, sent: Job) -> None:
    answer = tab._act(visitor, event(do="delete", id=sent.id))

    assert answer["rows"] == []
    assert answer["acted"]["problem"] == ""
    with pytest.raises(NotFound):
        hub.view(sent.id)
    assert not hub.files.has_upload(sent.id)


def test_a_job_is_cancelled(hub: Hub, tab: ActivityTab, visitor: str, sent: Job) -> None:
    [row] = tab._act(visitor, event(do="cancel", id=sent.id))["rows"]

    assert hub.view(sent.id).job.status is Status.CANCELLED
    assert f'data-state="{Status.CANCELLED}"' in row["html"]
    assert 'data-do="show"' not in row["html"], "Nothing is kept of it."


def test_jobs_of_others_are_neither_seen_nor_touched(hub: Hub, tab: ActivityTab, visitor: str, sent: Job) -> None:
    other = "the word of another"
    for word in (other, None, "", PAGE_OWNER):
        assert look(tab, word).get("rows", []) == []
        for do in ("cancel", "delete", "resume"):
            assert tab._act(word, event(do=do, id=sent.id)).get("rows", []) == []
        assert tab._opens[Kind.IMAGE].job not in tab._open(word, event(id=sent.id))
        with pytest.raises(NotFound):
            own_job(hub, sent.id, word)
    assert not hub.view(sent.id).job.status.finished or hub.view(sent.id).job.status is Status.COMPLETED
    for nonsense in (None, 7, "x\0", {"id": sent.id}):
        assert tab._act(visitor, event(do="delete", id=nonsense))["acted"]["problem"] == ""
    assert own_job(hub, sent.id, visitor).job.id == sent.id


def test_what_fails_is_said_on_its_line(hub: Hub, tab: ActivityTab, visitor: str) -> None:
    job = put(hub, visitor, status=Status.FAILED, error="No.", error_code="out_of_memory")
    [row] = look(tab, visitor)["rows"]
    assert say("error_out_of_memory") in row["live"]

    answer = tab._act(visitor, event(do="resume", id=job.id))
    assert answer["acted"]["id"] == job.id
    assert say("error_not_resumable") in answer["acted"]["problem"]
    assert "Nothing is called" in tab._act(visitor, event(do="format", id=job.id))["acted"]["problem"]


def test_a_database_that_is_away_leaves_the_list(
    hub: Hub, tab: ActivityTab, visitor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> None:
        raise Busy("database_unavailable", "Away.")

    monkeypatch.setattr(hub.manager, "list", away)
    told = look(tab, visitor)
    assert told["alert"] == say("error_database_unavailable")
    assert "rows" not in told


def test_the_list_comes_in_pages(hub: Hub, tab: ActivityTab, visitor: str) -> None:
    jobs = [put(hub, visitor, created_at=float(number), status=Status.CANCELLED).id for number in range(PAGE + 3)]
    first, second = look(tab, visitor), look(tab, visitor, limit=2 * PAGE)

    assert [row["id"] for row in first["rows"]] == jobs[:2:-1]
    assert [row["id"] for row in second["rows"]] == jobs[::-1]
    assert (first["more"], second["more"]) == (True, False)
    for limit in (-1, 0, "many", None, 10**9):
        assert len(look(tab, visitor, limit=limit)["rows"]) >= PAGE


def test_installs_and_names_of_strangers(hub: Hub, tab: ActivityTab, visitor: str) -> None:
    evil = '<img src=x onerror="alert(1)">${alert(1)}'
    put(hub, visitor, filename=evil, spec={"model_name": evil}, status=Status.FAILED, error=evil)
    put(hub, visitor, kind=Kind.INSTALL, spec={"model_names": ["denoise_b", evil]}, status=Status.COMPLETED)
    rows = look(tab, visitor)["rows"]

    assert all("<img src=x" not in row["html"] + row["live"] for row in rows)
    assert say("model_name_denoise_b") in rows[0]["html"]
    assert "<a " not in rows[0]["html"], "There is nothing to download."
