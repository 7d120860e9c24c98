"""The page of a hub whose API asks for keys: counted by address, and shown no job that was sent with a key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi.testclient import TestClient
from gradio.helpers import special_args
from starlette.applications import Starlette

from hub.access import PAGE_OWNER, Access
from hub.jobs.model import Job, Kind
from hub.service import Hub
from hub.settings import Settings
from hub.ui.cache import PageCache
from hub.ui.clips import clip_route
from hub.ui.language import say
from hub.ui.photo import PhotoTab
from hub.ui.tab import JobTab
from hub.ui.video import VideoTab
from hub.ui.visitors import check_visible, owner_of, visitor_state
from hub.video.handler import LATEST

KEY = "alices-key-long-enough"
SENT_WITH_KEY = "key:0123"
TOO_OFTEN = say("error_too_many_requests").partition("{")[0]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Takes no jobs; those that there are, a test has put there."""
    data = tmp_path_factory.mktemp("visitors") / "data"
    hub = Hub(Settings(data_dir=data, auto_fetch=False, api_keys=[KEY], page=True, rate_limit="3/hour"))
    yield hub
    hub.stop()


@pytest.fixture(scope="module")
def tabs(hub: Hub) -> tuple[PhotoTab, VideoTab]:
    async def build() -> tuple[PhotoTab, VideoTab]:  # Outside a running event loop Gradio makes loops it never closes.
        cache = PageCache(hub.settings.data_dir / "page", max_bytes=1 << 30, max_age=3600)
        with gr.Blocks(analytics_enabled=False):
            shown = gr.Tabs()
            return PhotoTab(hub, cache, shown, visitor_state(), []), VideoTab(hub, cache, shown, visitor_state())

    return asyncio.run(build())


def put(hub: Hub, kind: Kind, owner: str) -> dict[str, str]:
    """What a browser remembers of a new job."""
    job = Job.new(kind, "denoise", {}, "secret", owner)
    assert hub._store.add(job)
    return {"id": job.id}


def upload(tab: JobTab, path: Path) -> dict[str, Any]:
    copy = tab._cache.new_file(path.name)
    copy.write_bytes(path.read_bytes())
    return {"name": path.name, "upload": str(copy), "span": {"first": 0.0, "last": 0.0, "aspect": 1.0}}


def pressed(handler: Any, *values: Any, address: str) -> Any:
    """What Gradio gets from a handler when a browser at an address presses its button."""
    arguments, *_ = special_args(handler, [*values], gr.Request(client={"host": address, "port": 1}))
    return handler(*arguments)


def test_what_the_photo_tab_submits_is_counted(hub: Hub, tabs: tuple[PhotoTab, VideoTab], noisy_png: Path) -> None:
    tab, _ = tabs
    sent = gr.EventData(None, {"path": upload(tab, noisy_png)["upload"], "name": noisy_png.name})
    values = {tab.picker: tab._take_upload(None, sent)[tab.picker], tab.visitor: None}
    values |= {tab.task: "denoise", tab.model: "denoise_16", tab.patches: True, tab.strength: 1.0}

    stages = [[*pressed(tab._run, values, address="192.0.2.1")][-1][tab.stage] for _ in range(4)]

    assert [TOO_OFTEN in words for words in stages] == [False, False, False, True]
    assert say("failed_title") in stages[3]
    assert TOO_OFTEN not in [*pressed(tab._run, values, address="192.0.2.2")][-1][tab.stage]


def test_what_the_video_tab_works_on_is_counted(hub: Hub, tabs: tuple[PhotoTab, VideoTab], noisy_png: Path) -> None:
    _, tab = tabs
    job = put(hub, Kind.VIDEO, PAGE_OWNER)
    values = {tab.picker: upload(tab, noisy_png), tab.second: 0.0}
    values |= {widget: widget.value for widget in tab.settings.widgets}
    for _ in range(3):
        hub.access.count_visitor("192.0.2.3")

    assert TOO_OFTEN in pressed(tab._run, values, address="192.0.2.3")[tab.stage]
    *_, shown = pressed(tab._preview, values, address="192.0.2.3")
    assert TOO_OFTEN in shown[tab.preview._stage]
    with pytest.warns(UserWarning, match=TOO_OFTEN):
        pressed(tab._resume, job, address="192.0.2.3")


def test_what_was_sent_with_a_key_is_not_the_pages(hub: Hub, tabs: tuple[PhotoTab, VideoTab]) -> None:
    photos, clips = tabs
    for tab in tabs:
        own, foreign = (put(hub, tab.kind, owner) for owner in (PAGE_OWNER, SENT_WITH_KEY))
        assert "secret" in tab._watch(own)[tab.stage]
        assert tab._watch(foreign)[tab.job] is tab._cancel(foreign)[tab.job] is None
        assert not hub.view(foreign["id"]).job.status.finished
        tab._cancel(own)
        assert hub.view(own["id"]).job.status.finished

    foreign = put(hub, Kind.VIDEO, SENT_WITH_KEY)
    for handler in (clips._resume, clips._discard):
        assert handler(foreign)[clips.job] is None
    assert not hub.view(foreign["id"]).job.status.finished
    assert say("error_task_not_found") in photos._reblend(foreign, 0.5)[photos.stage]


def test_clips_that_were_sent_with_a_key_are_not_served(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(job: dict[str, str]) -> int:
        return TestClient(Starlette(routes=[clip_route(hub)])).get(f"/clips/{job['id']}/latest.jpg").status_code

    own, foreign = (put(hub, Kind.VIDEO, owner) for owner in (PAGE_OWNER, SENT_WITH_KEY))
    for job in (own, foreign):
        (hub.files.make_job_dir(job["id"]) / LATEST).write_bytes(b"a picture")
    assert [look(own), look(foreign)] == [200, 404]
    monkeypatch.setattr(hub, "access", Access(Settings()))
    assert look(foreign) == 200


def test_each_browser_owns_what_it_sends(hub: Hub) -> None:
    words = ["the word of one browser", "the word of another"]
    jobs = [put(hub, Kind.IMAGE, owner_of(hub, word)) for word in words]

    for job, word in zip(jobs, words, strict=True):
        assert [view.job.id for view in hub.manager.list(owner=owner_of(hub, word))] == [job["id"]]
        check_visible(hub, job["id"])
        assert word not in owner_of(hub, word)
    assert owner_of(hub, None) == PAGE_OWNER
