from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
import pytest

from hub.errors import Busy
from hub.jobs.model import Status
from hub.service import Hub, PhotoOptions
from hub.ui import text
from hub.ui.cache import PageCache
from hub.ui.photo import PhotoTab, Updates

AWAY = "The jobs database does not answer; please try again later."
SECONDS = 300


@pytest.fixture(scope="module")
def tab(hub: Hub) -> PhotoTab:
    async def build() -> PhotoTab:  # Outside a running event loop Gradio makes loops that it never closes.
        with gr.Blocks(analytics_enabled=False):
            cache = PageCache(hub.settings.data_dir / "page", max_bytes=1 << 30, max_age=3600)
            return PhotoTab(hub, cache, gr.Tabs(), [])

    return asyncio.run(build())


@contextmanager
def broken(part: object, method: str, error: Exception) -> Iterator[None]:
    """A method of the hub, or of a part of it, raises; the rest is the real one."""

    def fail(*_: object, **__: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part, method, fail)
        yield


@pytest.fixture
def photo(tab: PhotoTab, noisy_png: Path) -> dict[str, str]:
    """What the picker holds once `noisy_png` was uploaded."""
    path = tab._cache.new_file(noisy_png.name)
    path.write_bytes(noisy_png.read_bytes())
    return {"name": noisy_png.name, "upload": str(path)}


@pytest.fixture
def job(hub: Hub, noisy_png: Path) -> dict[str, str]:
    """What the browser remembers of a job that has just been submitted."""
    with noisy_png.open("rb") as stream:
        return {"id": hub.submit_photo(stream, noisy_png.name, PhotoOptions(display=True)).id}


def is_watching(tab: PhotoTab, updates: Updates) -> bool:
    return bool(updates[tab.timer].active)


def test_a_passing_failure_does_not_end_the_watch(hub: Hub, tab: PhotoTab, job: dict[str, str]) -> None:
    with broken(hub, "view", Busy("database_unavailable", AWAY)):
        for updates in (tab._watch(job), tab._open(job, "denoise", None)):
            assert is_watching(tab, updates)
            assert AWAY in updates[tab.stage]
            assert text.FAILED_TITLE not in updates[tab.stage]
            assert tab.job not in updates, "The job is forgotten."
            assert updates[tab.cancel].visible

    hub.manager.wait(job["id"], SECONDS)
    updates = tab._watch(job)
    assert not is_watching(tab, updates)
    assert updates[tab.result].visible
    assert "noisy.png" in updates[tab.stage]


def test_an_accepted_job_is_kept_though_it_cannot_be_shown(hub: Hub, tab: PhotoTab, photo: dict[str, str]) -> None:
    with broken(hub, "view", Busy("database_unavailable", AWAY)):
        updates = tab._run(photo, "denoise", None, True, 1.0)

    assert is_watching(tab, updates)
    assert hub.manager.cancel(updates[tab.job]["id"]).job.filename == photo["name"]


@pytest.mark.parametrize(
    ("error", "words"),
    [(Busy("disk_full", "The disk is full."), "The disk is full."), (OSError("x"), text.SERVER_ERROR)],
)
def test_a_refused_photo_is_explained(
    hub: Hub, tab: PhotoTab, photo: dict[str, str], error: Exception, words: str
) -> None:
    with broken(hub, "submit_photo", error):
        updates = tab._run(photo, "denoise", None, True, 1.0)

    assert words in updates[tab.stage]
    assert not is_watching(tab, updates)
    assert updates[tab.run].interactive


@pytest.mark.parametrize(
    ("error", "words"), [(Busy("database_unavailable", AWAY), AWAY), (OSError("x"), text.SERVER_ERROR)]
)
def test_a_cancel_that_fails_is_told_and_the_watch_goes_on(
    hub: Hub, tab: PhotoTab, job: dict[str, str], error: Exception, words: str
) -> None:
    with broken(hub, "cancel", error), pytest.warns(UserWarning, match=words):
        updates = tab._cancel(job)
    assert is_watching(tab, updates)

    updates = tab._cancel(job)
    assert not is_watching(tab, updates)
    assert hub.view(job["id"]).job.status.finished


@pytest.mark.parametrize(
    ("error", "words"),
    [(Busy("disk_full", "The disk is full."), "The disk is full."), (OSError("x"), text.SERVER_ERROR)],
)
def test_a_blend_that_fails_is_explained(hub: Hub, tab: PhotoTab, error: Exception, words: str) -> None:
    with broken(hub.display, "reblend", error):
        updates = tab._reblend({"id": "any"}, 0.5)

    assert text.REBLEND_FAILED.format(reason=words) in updates[tab.stage]
    assert tab.compare not in updates, "The pictures that are there stay."


def test_an_open_page_has_its_result_kept(hub: Hub, tab: PhotoTab, job: dict[str, str]) -> None:
    hub.manager.wait(job["id"], SECONDS)
    assert hub.view(job["id"]).job.heartbeat_at is None

    tab._beat(job)
    beaten = hub.view(job["id"]).job.heartbeat_at
    assert beaten is not None
    assert abs(time.time() - beaten) < SECONDS

    for nothing in (None, "old", {"id": "00000000-0000-4000-8000-000000000000"}):
        tab._beat(nothing)


def test_the_jobs_of_the_page_are_nobodys_on_the_api(
    hub: Hub, tab: PhotoTab, photo: dict[str, str], noisy_png: Path
) -> None:
    updates = tab._run(photo, "denoise", "denoise_16", True, 1.0)

    assert hub.view(updates[tab.job]["id"]).job.owner == "page"
    hub.cancel(updates[tab.job]["id"])


def test_a_job_that_is_gone_leaves_an_empty_stage(tab: PhotoTab) -> None:
    for job in ({"id": "00000000-0000-4000-8000-000000000000"}, {"other": "version"}, "old", None):
        for updates in (tab._watch(job), tab._cancel(job)):
            assert updates[tab.job] is None
            assert not is_watching(tab, updates)
            assert text.EMPTY_TITLE in updates[tab.stage]


def test_a_cancelled_job_says_so(hub: Hub, tab: PhotoTab, job: dict[str, str]) -> None:
    updates = tab._cancel(job)

    assert hub.view(job["id"]).job.status is Status.CANCELLED
    assert text.CANCELLED_TITLE in updates[tab.stage]
