from __future__ import annotations

import asyncio
import html
import re
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from hub.errors import Busy, HubError, NotFound
from hub.jobs.model import Status
from hub.service import Hub, VideoOptions
from hub.ui.cache import PageCache
from hub.ui.clips import clip_route
from hub.ui.forecast import after_frame, before_frame
from hub.ui.language import say, speaking
from hub.ui.video import Updates, VideoTab
from hub.ui.visitors import visitor_state

SECONDS = 300


@pytest.fixture(scope="module")
def tab(hub: Hub) -> VideoTab:
    async def build() -> VideoTab:  # Outside a running event loop Gradio makes loops that it never closes.
        with gr.Blocks(analytics_enabled=False):
            cache = PageCache(hub.settings.data_dir / "page", max_bytes=1 << 30, max_age=3600)
            return VideoTab(hub, cache, gr.Tabs(), visitor_state())

    return asyncio.run(build())


def upload(tab: VideoTab, source: Path) -> Updates:
    """Choose a file as the browser does."""
    path = tab._cache.new_file(source.name)
    path.write_bytes(source.read_bytes())
    return tab._take_upload(gr.EventData(None, {"path": str(path), "name": source.name}))


def values(tab: VideoTab, clip: Any, **changed: Any) -> dict[Any, Any]:
    """What the widgets hold: the defaults but for what is `changed`, by the names of the settings."""
    settings = {"temporal": True, "strength": 1.0, "codec": "h264", "quality": 18, "start": "", "end": "", **changed}
    chosen = {getattr(tab.settings, name): value for name, value in settings.items()}
    fixed = {tab.task: "denoise", tab.model: "denoise_16", tab.second: 1.0, tab.visitor: "a word"}
    return {tab.picker: clip, **fixed, **chosen}


@pytest.fixture
def clip(tab: VideoTab, noisy_clip: Path) -> dict[str, Any]:
    """What the picker holds once `noisy_clip` was uploaded."""
    return dict(upload(tab, noisy_clip)[tab.picker])


@pytest.fixture(scope="module")
def finished(hub: Hub, noisy_clip: Path) -> dict[str, str]:
    """What the browser remembers of a job that is completed."""
    with noisy_clip.open("rb") as stream:
        job = hub.submit_video(stream, "noisy.mp4", VideoOptions(display=True))
    assert hub.manager.wait(job.id, SECONDS).job.status is Status.COMPLETED
    return {"id": job.id}


def test_a_chosen_clip_is_described(tab: VideoTab, noisy_clip: Path) -> None:
    updates = upload(tab, noisy_clip)

    clip = updates[tab.picker]
    assert clip["caption"] == "128 \u00d7 96 · 2.0 s · 12 fps · H.264 · with sound"
    poster = cv2.imread(clip["preview"].removeprefix("gradio_api/file="))
    assert poster is not None
    assert poster.shape == (96, 128, 3)
    assert updates[tab.chooser].visible
    assert updates[tab.second].maximum == pytest.approx(23 / 12, abs=0.01)


def test_a_file_that_is_no_clip_is_refused_where_it_was_dropped(tab: VideoTab, tmp_path: Path) -> None:
    letter = tmp_path / "letter <b>.mp4"
    letter.write_text("Dear hub", "utf-8")
    updates = upload(tab, letter)

    assert updates[tab.picker]["error"]
    assert "<b>" not in updates[tab.picker]["error"]
    assert not updates[tab.chooser].visible


def test_names_are_shown_as_words(tab: VideoTab, noisy_clip: Path, tmp_path: Path) -> None:
    strange = tmp_path / '${alert(1)}<img src=x onerror="y">.mp4'
    strange.write_bytes(noisy_clip.read_bytes())
    clip = upload(tab, strange)[tab.picker]

    assert clip["name"] == strange.name
    for shown in ("shown", "alt", "caption"):
        assert "<" not in clip[shown]
        assert '"' not in clip[shown]


def test_the_picture_follows_the_chosen_second(tab: VideoTab, clip: dict[str, Any]) -> None:
    early, late = (tab._seek(clip, seconds) for seconds in (0.0, 99.0))

    grey = [cv2.imread(of["preview"].removeprefix("gradio_api/file=")).mean() for of in (early, late)]
    assert grey[0] == pytest.approx(24, abs=6)
    assert grey[1] == pytest.approx(24 + 8 * 23, abs=6)
    assert {**early, "preview": ""} == {**clip, "preview": ""}


def test_the_shown_frame_begins_or_ends_the_part(clip: dict[str, Any]) -> None:
    assert before_frame(clip, 1.0) == "0:01"
    assert after_frame(clip, 1.0) == "0:01.08", "The frame that is shown belongs to the part."
    assert after_frame(clip, 99.0) == "0:02"


@pytest.mark.parametrize(("language", "end"), [("en", "0:01.08"), ("de", "0:01,08")])
def test_what_the_buttons_choose_is_what_runs(
    hub: Hub, tab: VideoTab, clip: dict[str, Any], language: str, end: str
) -> None:
    with speaking(language):
        chosen = values(tab, clip, start=before_frame(clip, 0.5), end=after_frame(clip, 1.0))
        assert chosen[tab.settings.range[1]] == end
        told, *_ = tab._forecast(chosen)
        job_id = tab._run(chosen)[tab.job]["id"]

    spec = hub.view(job_id).job.spec
    hub.cancel(job_id)
    assert html.escape(end) in told[tab.trim.range]
    assert (spec["start"], spec["end"]) == (0.5, 1.08)


def test_time_and_size_are_told_beforehand(tab: VideoTab, clip: dict[str, Any]) -> None:
    at_once, told = tab._forecast(values(tab, clip, end="1"))

    assert "From 0:00 to 0:01 is restored: 1.0 s." in at_once[tab.trim.range]
    assert say("forecast_working") in at_once[tab.forecast]
    assert re.search(r"result has about [\d.]+ (kB|MB)", told[tab.forecast])


@pytest.mark.parametrize(
    ("changed", "words"), [({"start": "soon"}, "is not a time"), ({"start": "7"}, "lasts from 0:00 to 0:02")]
)
def test_a_part_that_is_none_is_told_at_once(tab: VideoTab, clip: dict[str, Any], changed: Any, words: str) -> None:
    [updates] = tab._forecast(values(tab, clip, **changed))

    assert words in updates[tab.trim.range]
    assert updates[tab.forecast] == ""


def test_what_could_not_be_run_is_told_beforehand(tab: VideoTab, clip: dict[str, Any]) -> None:
    *_, told = tab._forecast(values(tab, clip, codec="divx"))

    assert "hub-note-warn" in told[tab.forecast]


def test_without_a_clip_nothing_is_told(tab: VideoTab) -> None:
    assert list(tab._forecast(values(tab, None))) == [{tab.trim.range: "", tab.forecast: ""}]


def test_one_frame_is_restored_before_the_long_run(tab: VideoTab, clip: dict[str, Any]) -> None:
    first, last = tab._preview(values(tab, clip))

    assert "1.00 s" in first[tab.preview._stage]
    assert not first[tab.look].interactive
    assert last[tab.look].interactive
    shown = last[tab.preview._compare]
    before, after = (cv2.imread(shown[side].removeprefix("gradio_api/file=")) for side in ("before", "after"))
    assert before.shape == after.shape == (96, 128, 3)
    assert before.mean() == pytest.approx(24 + 8 * 12, abs=4)
    assert after.std() < 0.5 * before.std()


def test_without_a_clip_there_is_nothing_to_do(tab: VideoTab, clip: dict[str, Any]) -> None:
    gone = {**clip, "upload": "/etc/passwd"}
    for value, words in ((None, say("clip_picker_missing")), (gone, say("clip_picker_gone"))):
        [updates] = tab._preview(values(tab, value))
        assert updates[tab.picker]["error"] == html.escape(words)
        assert tab._run(values(tab, value))[tab.picker]["error"] == updates[tab.picker]["error"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"start": "soon"}, "is not a time"),
        ({"start": "1.5", "end": "1"}, "end must come after the start"),
        ({"start": "0:07"}, "start and end must leave a part"),
        ({"codec": "divx"}, "choose one of"),
    ],
)
def test_wrong_settings_are_explained(tab: VideoTab, clip: dict[str, Any], changed: Any, words: str) -> None:
    updates = tab._run(values(tab, clip, **changed))

    assert words in updates[tab.stage]
    assert not updates[tab.timer].active


def test_a_run_is_what_was_chosen(hub: Hub, tab: VideoTab, clip: dict[str, Any]) -> None:
    updates = tab._run(values(tab, clip, end="0:00.5", codec="h265", quality=30, temporal=False, strength=0.5))

    job = hub.view(updates[tab.job]["id"]).job
    assert updates[tab.timer].active
    assert job.spec == {
        **VideoOptions(model_name="denoise_16", codec="h265", quality=30).to_spec(),
        "temporal": False,
        "strength": 0.5,
        "end": 0.5,
        "display": True,
    }
    done = hub.manager.wait(job.id, SECONDS)
    assert done.job.status is Status.COMPLETED, done.job.error
    player = tab._watch({"id": job.id})[tab.player]
    assert player["frame"] == pytest.approx(1 / 12)
    assert player["after"].startswith(f"clips/{job.id}/after.mp4?v="), "Browsers play a copy of what they cannot play."
    assert not player["sound"]


def test_a_failed_run_can_go_on(hub: Hub, tab: VideoTab, clip: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise HubError("a_strange_end", "The machine has too little memory <now>.")

    with monkeypatch.context() as patch:
        patch.setattr(hub.clips, "read", fail)
        job = tab._run(values(tab, clip, end="0.5"))[tab.job]
        assert hub.manager.wait(job["id"], SECONDS).job.status is Status.FAILED
    updates = tab._watch(job)
    assert "too little memory &lt;now&gt;." in updates[tab.stage]
    assert say("resume_hint") in updates[tab.stage]
    assert updates[tab.resume].visible

    def refuse(_: str) -> None:
        raise Busy("a_strange_wait", "Others are waiting.")

    with monkeypatch.context() as patch:
        patch.setattr(hub, "resume", refuse)
        with pytest.warns(UserWarning, match=r"Others are waiting\."):
            tab._resume(job)
    updates = tab._resume(job)
    assert updates[tab.timer].active
    assert not updates[tab.resume].visible
    assert hub.manager.wait(job["id"], SECONDS).job.status is Status.COMPLETED
    assert tab._watch(job)[tab.result].visible


def test_a_failed_run_can_be_thrown_away(
    hub: Hub, tab: VideoTab, clip: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise HubError("out_of_memory", "The machine has too little memory now.")

    with monkeypatch.context() as patch:
        patch.setattr(hub.clips, "read", fail)
        job = tab._run(values(tab, clip, end="0.5"))[tab.job]
        hub.manager.wait(job["id"], SECONDS)
    assert tab._watch(job)[tab.discard].visible

    updates = tab._discard(job)

    assert updates[tab.job] is None
    assert not updates[tab.discard].visible
    assert not hub.files.has_upload(job["id"])
    with pytest.raises(NotFound):
        hub.view(job["id"])
    assert tab._discard(job)[tab.job] is None, "Another window had thrown it away."


def test_a_finished_clip_can_be_played_and_fetched(hub: Hub, tab: VideoTab, finished: dict[str, str]) -> None:
    updates = tab._open(finished, "denoise", None)
    job = hub.view(finished["id"]).job

    assert "24 frames\N{NO-BREAK SPACE}· H.264" in updates[tab.stage]
    assert 'download="noisy-restored.mp4"' in updates[tab.download]
    player = updates[tab.player]
    assert player == {
        **player,
        "after": str(job.result_path).lstrip("/"),
        "frame": pytest.approx(1 / 12),
        "sound": True,
    }
    with TestClient(Starlette(routes=[clip_route(hub)])) as client:
        whole = client.get(f"/{player['before']}")
        assert whole.headers["Content-Type"] == "video/mp4"
        part = client.get(f"/{player['before']}", headers={"Range": "bytes=100-"})
        assert part.status_code == 206
        assert part.content == whole.content[100:]
        assert client.get(f"/clips/{job.id}/latest.jpg").headers["Content-Type"] == "image/jpeg"
        for name in ("outcome.json", "../hub.sqlite3", "after.mov"):
            assert client.get(f"/clips/{job.id}/{name}").status_code == 404
        for other in ("00000000-0000-4000-8000-000000000000", "x"):
            assert client.get(f"/clips/{other}/before.mp4").status_code == 404


def test_a_finished_clip_whose_copies_are_gone_is_still_there(
    hub: Hub, tab: VideoTab, finished: dict[str, str]
) -> None:
    before = hub.display.clips(finished["id"])[0]
    hidden = before.rename(before.with_name("hidden"))
    updates = tab._watch(finished)
    hidden.rename(before)

    assert updates[tab.player] is None
    assert say("clips_gone") in updates[tab.download]
    assert "noisy-restored.mp4" in updates[tab.download]


def test_a_passing_failure_does_not_end_the_watch(
    hub: Hub, tab: VideoTab, finished: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Busy("a_strange_wait", "The database is away.")

    monkeypatch.setattr(hub, "view", fail)
    updates = tab._watch(finished)

    assert updates[tab.timer].active
    assert "The database is away." in updates[tab.stage]


def test_a_job_of_a_photo_is_not_this_tabs(tab: VideoTab) -> None:
    for job in ({"id": "00000000-0000-4000-8000-000000000000"}, "old", None):
        for updates in (tab._watch(job), tab._cancel(job), tab._resume(job)):
            assert updates[tab.job] is None
            assert say("empty_clip_title") in updates[tab.stage]


@pytest.mark.parametrize("field", ["strength", "quality"])
def test_an_emptied_field_is_told(tab: VideoTab, clip: dict[str, Any], field: str) -> None:
    slider = getattr(tab.settings, field)
    words = html.escape(say("number_missing", label=slider.label, least=0, most=f"{slider.maximum:g}"))

    assert words in tab._run(values(tab, clip, **{field: None}))[tab.stage]
    *_, told = tab._forecast(values(tab, clip, **{field: None}))
    assert words in told[tab.forecast]
    assert told[tab.trim.range] == ""
    assert tab._seek(clip, None)["preview"]
