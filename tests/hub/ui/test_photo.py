from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from hub.errors import Busy
from hub.jobs.manager import JobView
from hub.jobs.model import Status
from hub.service import Hub, PhotoOptions
from hub.ui.cache import PageCache
from hub.ui.examples import load_examples
from hub.ui.language import say
from hub.ui.photo import PhotoTab, Updates
from hub.ui.selection import MOST, holding, photos_of
from hub.ui.visitors import owner_of, visitor_state

AWAY = "The jobs database does not answer; please try again later."
SECONDS = 300


@pytest.fixture(scope="module")
def tab(hub: Hub) -> PhotoTab:
    async def build() -> PhotoTab:  # Outside a running event loop Gradio makes loops that it never closes.
        with gr.Blocks(analytics_enabled=False):
            cache = PageCache(hub.settings.data_dir / "page", max_bytes=1 << 30, max_age=3600)
            return PhotoTab(hub, cache, gr.Tabs(), visitor_state(), load_examples(hub.settings.data_dir / "examples"))

    return asyncio.run(build())


@contextmanager
def broken(part: object, method: str, error: Exception) -> Iterator[None]:
    """A method of the hub, or of a part of it, raises; the rest is the real one."""

    def fail(*_: object, **__: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part, method, fail)
        yield


def upload(tab: PhotoTab, source: Path, held: Any = None, **how: Any) -> dict[str, Any]:
    """What the picker holds once the browser has sent a file, beside what it `held`."""
    path = tab._cache.new_file(source.name)
    path.write_bytes(source.read_bytes())
    sent = {"path": str(path), "name": source.name, **how}
    return dict(tab._take_upload(held, gr.EventData(None, sent))[tab.picker])


def values(tab: PhotoTab, picker: Any, **changed: Any) -> dict[Any, Any]:
    """What the widgets hold: the defaults but for what is `changed`, by their names."""
    settings = {"task": "denoise", "model": None, "patches": True, "strength": 1.0, "visitor": None, **changed}
    return {tab.picker: picker, **{getattr(tab, name): value for name, value in settings.items()}}


def run(tab: PhotoTab, picker: Any, **changed: Any) -> Updates:
    """What the page shows once all was submitted."""
    shown: Updates = {}
    for updates in tab._run(values(tab, picker, **changed)):
        shown |= updates
    return shown


@pytest.fixture
def photo(tab: PhotoTab, noisy_png: Path) -> dict[str, Any]:
    """What the picker holds once `noisy_png` was uploaded."""
    return upload(tab, noisy_png)


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """A file that is no photo, with a name that is not to be taken for HTML."""
    path = tmp_path / "letter <b>.png"
    path.write_text("Dear hub", "utf-8")
    return path


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
            assert say("failed_title") not in updates[tab.stage]
            assert tab.job not in updates, "The job is forgotten."
            assert updates[tab.cancel].visible

    hub.manager.wait(job["id"], SECONDS)
    updates = tab._watch(job)
    assert not is_watching(tab, updates)
    assert updates[tab.result].visible
    assert "noisy.png" in updates[tab.stage]


def test_an_accepted_job_is_kept_though_it_cannot_be_shown(hub: Hub, tab: PhotoTab, photo: dict[str, Any]) -> None:
    with broken(hub, "view", Busy("database_unavailable", AWAY)):
        updates = run(tab, photo)

    assert is_watching(tab, updates)
    assert hub.manager.cancel(updates[tab.job]["id"]).job.filename == photo["name"]


@pytest.mark.parametrize(
    ("error", "words"),
    [(Busy("unheard_of", "The disk is full."), "The disk is full."), (OSError("x"), say("server_error"))],
)
def test_a_refused_photo_is_explained(
    hub: Hub, tab: PhotoTab, photo: dict[str, Any], error: Exception, words: str
) -> None:
    with broken(hub, "submit_photo", error):
        updates = run(tab, photo)

    assert words in updates[tab.stage]
    assert not is_watching(tab, updates)
    assert updates[tab.run].interactive


@pytest.mark.parametrize(
    ("error", "words"), [(Busy("database_unavailable", AWAY), AWAY), (OSError("x"), say("server_error"))]
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
    [(Busy("unheard_of", "The disk is full."), "The disk is full."), (OSError("x"), say("server_error"))],
)
def test_a_blend_that_fails_is_explained(hub: Hub, tab: PhotoTab, error: Exception, words: str) -> None:
    with broken(hub.display, "reblend", error):
        updates = tab._reblend({"id": "any"}, 0.5)

    assert say("reblend_failed", reason=words) in updates[tab.stage]
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
    hub: Hub, tab: PhotoTab, photo: dict[str, Any], noisy_png: Path
) -> None:
    owners = []
    for word in (None, "a browser's word"):
        updates = run(tab, photo, model="denoise_16", visitor=word)
        owners.append(hub.view(updates[tab.job]["id"]).job.owner)
        hub.cancel(updates[tab.job]["id"])

    assert owners == ["page", owner_of(hub, "a browser's word")]
    assert owners[1].startswith("page:")


def test_a_job_that_is_gone_leaves_an_empty_stage(tab: PhotoTab) -> None:
    for job in ({"id": "00000000-0000-4000-8000-000000000000"}, {"other": "version"}, "old", None):
        for updates in (tab._watch(job), tab._cancel(job)):
            assert updates[tab.job] is None
            assert not is_watching(tab, updates)
            assert say("empty_title") in updates[tab.stage]
            assert not updates[tab.finish].visible


def test_a_cancelled_job_says_so(hub: Hub, tab: PhotoTab, job: dict[str, str]) -> None:
    updates = tab._cancel(job)

    assert hub.view(job["id"]).job.status is Status.CANCELLED
    assert say("cancelled_title") in updates[tab.stage]


def test_an_example_is_restored_at_once_with_the_chosen_settings(hub: Hub, tab: PhotoTab) -> None:
    event = gr.EventData(None, {"key": "mountain-lake"})
    [updates] = tab._try_example(values(tab, None, strength=0.5), event)

    assert updates[tab.picker]["name"] == "mountain-lake.png"
    assert is_watching(tab, updates)
    job = hub.cancel(updates[tab.job]["id"]).job
    assert job.filename == "mountain-lake.png"
    assert job.spec["strength"] == 0.5


def test_several_photos_are_added_one_by_one_and_taken_out_again(
    tab: PhotoTab, noisy_png: Path, letter: Path, tmp_path: Path
) -> None:
    strange = tmp_path / '${alert(1)}<img src=x onerror="y">.png'
    strange.write_bytes(noisy_png.read_bytes())

    held = upload(tab, noisy_png, first=True, add=False, of=3)
    assert "photos" not in held, "A single photo is shown as ever."
    held = upload(tab, letter, held, first=False, add=True, of=3)
    assert held["name"] == noisy_png.name
    assert "letter &lt;b&gt;.png: " in held["error"]
    held = upload(tab, strange, held, first=False, add=True, of=3)
    assert [photo["name"] for photo in held["photos"]] == [noisy_png.name, strange.name]
    assert "letter &lt;b&gt;.png: " in held["error"], "It is told until something else is chosen."
    assert held["count"] == "2 photos"
    assert "<img src=x" not in held["list"]

    one = tab._remove(held, gr.EventData(None, {"photo": held["photos"][0]["preview"], "asked": 7}))[tab.picker]
    assert one["answers"] == 7
    assert one["name"] == strange.name
    assert "letter &lt;b&gt;.png: " in one["error"]
    assert photos_of(tab._remove(held, gr.EventData(None, {}))[tab.picker]) == held["photos"], "None was named."
    none = tab._remove(held, gr.EventData(None, {"photo": None}))[tab.picker]
    assert "name" not in none
    assert upload(tab, noisy_png, held)["name"] == noisy_png.name, "It takes the place of all."


def test_no_more_photos_are_taken_than_are_said(tab: PhotoTab, photo: dict[str, Any], noisy_png: Path) -> None:
    held = upload(tab, noisy_png, holding([photo] * MOST), add=True, first=True)

    assert len(held["photos"]) == MOST
    assert html.escape(say("picker_most", most=MOST)) in held["error"]


def test_each_photo_of_a_batch_is_a_job_and_a_refused_one_stops_no_other(
    hub: Hub, tab: PhotoTab, photo: dict[str, Any], noisy_png: Path
) -> None:
    gone = {**photo, "name": "gone.png", "upload": "/etc/passwd"}
    updates = run(tab, holding([gone, photo, {**photo, "name": "second.png"}]), strength=0.25)

    entries, strip = updates[tab.batch.state], updates[tab.batch.strip]
    assert entries[0] == {"name": "gone.png", "error": say("picker_gone")}
    assert [item["state"] == "refused" for item in strip["items"]] == [True, False, False]
    assert strip["items"][0]["words"] == say("picker_gone")
    assert updates[tab.job]["id"] == entries[1]["id"], "The first that was accepted is on the stage."
    assert updates[tab.batch.timer].active
    ids = [entry["id"] for entry in entries[1:]]
    for job_id in ids:
        assert hub.manager.wait(job_id, SECONDS).job.spec["strength"] == 0.25

    updates = tab.batch.open(entries, updates[tab.job])
    strip = updates[tab.batch.strip]
    assert strip["title"] == say("strip_title", done=2, total=3)
    assert [item.get("current") for item in strip["items"]] == [None, True, False]
    assert strip["download_words"] == say("strip_download_some", count=2)
    assert all(job_id in strip["download"] for job_id in ids)
    assert not strip["going"]
    assert not updates[tab.batch.timer].active

    shown = tab._choose(entries, gr.EventData(None, {"place": 2}))
    assert shown[tab.job]["id"] == ids[1]
    assert shown[tab.result].visible
    assert shown[tab.batch.strip]["items"][2]["current"]
    refused = tab._choose(entries, gr.EventData(None, {"place": 0}))
    assert "gone.png" in refused[tab.stage]
    assert not refused[tab.result].visible

    tab._beat_batch(entries)
    assert all(hub.view(job_id).job.heartbeat_at for job_id in ids)
    alone = run(tab, photo)
    assert alone[tab.batch.state] is None
    assert alone[tab.batch.strip] is None
    hub.cancel(alone[tab.job]["id"])


def test_a_batch_is_cancelled_at_once(hub: Hub, tab: PhotoTab, photo: dict[str, Any]) -> None:
    updates = run(tab, holding([photo, photo, photo]))
    entries = updates[tab.batch.state]
    cancelled = tab.batch.cancel(entries, updates[tab.job])

    assert not cancelled[tab.batch.timer].active
    assert all(hub.view(entry["id"]).job.status.finished for entry in entries)


@pytest.mark.parametrize(
    ("error", "words"), [(Busy("database_unavailable", AWAY), AWAY), (OSError("x"), say("server_error"))]
)
def test_one_that_cannot_be_cancelled_keeps_no_other_from_it(
    hub: Hub,
    tab: PhotoTab,
    photo: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    updates = run(tab, holding([photo, photo, photo]))
    entries = updates[tab.batch.state]
    first, *others = [entry["id"] for entry in entries]
    cancel = hub.cancel

    def fail_once(job_id: str) -> JobView:
        if job_id == first:
            raise error
        return cancel(job_id)

    monkeypatch.setattr(hub, "cancel", fail_once)
    with pytest.warns(UserWarning, match=words) as warnings:
        tab.batch.cancel(entries, updates[tab.job])

    assert len(warnings) == 1
    assert [hub.view(job_id).job.status.finished for job_id in others] == [True, True]
    cancel(first)


def test_the_rest_of_a_batch_is_submitted_though_the_page_was_closed(
    hub: Hub, tab: PhotoTab, photo: dict[str, Any]
) -> None:
    word = "the word of a browser that goes away"
    steps = tab._run(values(tab, holding([photo] * 5), visitor=word))
    next(steps)
    steps.close()

    deadline = time.monotonic() + 30
    while len(jobs := hub.manager.list(owner=owner_of(hub, word))) < 5:
        assert time.monotonic() < deadline, f"Only {len(jobs)} were submitted."
        time.sleep(0.02)
    for view in jobs:
        hub.cancel(view.job.id)


@pytest.mark.parametrize("kept", [None, "old", [1, {"id": "x"}], [{"id": "00000000-0000-4000-8000-000000000000"}]])
def test_a_batch_that_is_gone_leaves_nothing(tab: PhotoTab, kept: Any) -> None:
    assert tab.batch.open(kept, None)[tab.batch.strip] is None


def test_a_busy_table_does_not_end_the_watch_of_a_batch(hub: Hub, tab: PhotoTab, job: dict[str, str]) -> None:
    with broken(hub.manager, "views", Busy("database_unavailable", AWAY)):
        updates = tab.batch.watch([job], job)
    assert updates[tab.batch.timer].active
    assert tab.batch.state not in updates


def test_a_part_of_a_large_photo_is_shown_before_the_run(tab: PhotoTab, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(128, 20, (1024, 1280, 3)).clip(0, 255).astype(np.uint8)
    path = tmp_path / "large.png"
    Image.fromarray(noise).save(path)
    large = upload(tab, path)
    assert large["framed"] == {"width": 1280, "height": 1024, "side": 512, "grid": 64}

    event = gr.EventData(None, {"left": 384, "top": 256})
    first, last = tab._preview(values(tab, large, model="denoise_16"), event)

    assert first[tab.part.card].visible
    shown = last[tab.part.shown[-1]]
    before, after = (
        np.asarray(Image.open(shown[side].removeprefix("gradio_api/file="))) for side in ("before", "after")
    )
    assert np.array_equal(before, noise[256:768, 384:896])
    assert after.std() < 0.5 * before.std()
    assert shown["zoom"] == "one"
    *_, refused = tab._preview(values(tab, large, task="deblur"), event)
    assert say("part_failed") in refused[tab.part.shown[1]]
    [missing] = tab._preview(values(tab, None), event)
    assert missing[tab.picker]["error"]


def test_small_photos_need_no_frame(photo: dict[str, Any]) -> None:
    assert photo["framed"] is None


def test_an_emptied_field_is_told_where_the_result_would_be(
    tab: PhotoTab, photo: dict[str, Any], noisy_png: Path
) -> None:
    words = html.escape(say("number_missing", label=say("strength_label"), least=0, most=1))

    assert words in run(tab, photo, strength=None)[tab.stage]
    assert words in run(tab, holding([photo, photo]), strength=None)[tab.stage]
    *_, previewed = tab._preview(values(tab, photo, strength=None), gr.EventData(None, {"left": 0, "top": 0}))
    assert words in previewed[tab.part._stage]
