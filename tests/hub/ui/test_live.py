from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from hub.device import Device
from hub.service import Hub
from hub.settings import Settings
from hub.ui import live
from hub.ui.live import WIDTHS, LiveTab


def build(hub: Hub) -> LiveTab:
    async def make() -> LiveTab:  # Outside a running event loop Gradio makes loops that it never closes.
        with gr.Blocks(analytics_enabled=False):
            return LiveTab(hub, gr.Tabs())

    return asyncio.run(make())


def chosen_width(tab: LiveTab) -> int:
    [width] = re.findall(r'<option value="(\d+)" selected>', tab.view.html_template)
    return int(width)


def test_all_that_is_said_is_in_the_page(hub: Hub) -> None:
    tab = build(hub)
    script = str(tab.view.js_on_load)

    assert "{{" not in tab.view.html_template
    assert "<!--" not in tab.view.html_template + script
    said = set(re.findall(r'\bword\(\s*"(\w+)"', script)) | {"start", "stop", "wrong_key", "key"}
    assert said == set(re.findall(r'data-word="(\w+)"', tab.view.html_template))
    found = set(re.findall(r"\[data-([a-z]+)[\]=]", script))
    assert [name for name in found if f"data-{name}" not in tab.view.html_template] == []


def test_what_can_run_at_once_comes_first(hub: Hub) -> None:
    choices = build(hub).choice.model.choices

    assert choices[0][1] == "denoise_16"
    assert "denoise_b" in [name for _, name in choices[1:]]
    assert "not installed" in {name: words for words, name in choices}["denoise_b"]


def test_the_models_follow_the_task(hub: Hub) -> None:
    menu, note = build(hub).choice.refreshed("deblur", "denoise_16")

    assert menu.value == "deblur_b"
    assert "python -m hub fetch deblur_b" in note


@pytest.mark.parametrize(("kind", "width"), [("cpu", 256), ("cuda", 512), (None, 512)])
def test_the_frame_size_suits_the_machine(
    hub: Hub, kind: str | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(None, kind, None, None, None)
    monkeypatch.setattr(live, "describe", lambda *_: replace(device))

    assert chosen_width(build(hub)) == width
    assert width in WIDTHS


def test_a_key_is_asked_for_where_the_hub_wants_one(tmp_path: Path) -> None:
    for keys in ([], ["a-key-of-sixteen-letters"]):
        hub = Hub(Settings(data_dir=tmp_path / str(len(keys)), auto_fetch=False, api_keys=keys))
        assert build(hub).view.props["key_required"] == bool(keys)
