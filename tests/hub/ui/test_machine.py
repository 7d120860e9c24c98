"""The panel of the machine: who may do what there, and that it is done."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from hub.jobs.manager import JobView
from hub.jobs.model import Job, Kind, Status
from hub.lifecycle import Cleared
from hub.service import Hub
from hub.settings import Settings
from hub.ui.cache import PageCache
from hub.ui.language import say
from hub.ui.machine import MachinePanel
from hub.ui.machine_facts import cleared_words, model_line
from hub.ui.visitors import owner_of, visitor_state

KEY, OTHER_KEY = "the-operators-long-key", "alices-key-long-enough"
NOWHERE = "http://127.0.0.1:9/"
SECONDS = 300
ADDRESS = "192.0.2.7"


def panel_of(hub: Hub) -> MachinePanel:
    async def build() -> MachinePanel:  # Outside a running event loop Gradio makes loops that it never closes.
        cache = PageCache(hub.settings.data_dir / "page", max_bytes=1 << 30, max_age=3600)
        with gr.Blocks(analytics_enabled=False):
            return MachinePanel(hub, cache, visitor_state())

    return asyncio.run(build())


def guarded(data: Path, **more: Any) -> Hub:
    return Hub(Settings(data_dir=data, auto_fetch=False, fetch_urls=[NOWHERE], page=True, **more))


@pytest.fixture(scope="module")
def panel(hub: Hub) -> MachinePanel:
    """Of a hub that lets everybody do everything."""
    return panel_of(hub)


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MachinePanel]:
    """Of a hub that has an operator; wrong keys are counted."""
    hub = guarded(tmp_path_factory.mktemp("operated") / "data", operator_keys=[KEY], rate_limit="20/hour")
    hub.start()
    yield panel_of(hub)
    hub.stop()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MachinePanel]:
    """Of a hub whose API asks for keys."""
    hub = guarded(tmp_path_factory.mktemp("locked") / "data", api_keys=[OTHER_KEY])
    yield panel_of(hub)
    hub.stop()


def act(panel: MachinePanel, do: str, name: str = "", visitor: str = "word", **more: Any) -> dict[str, Any]:
    event = gr.EventData(None, {"do": do, "id": name or do, **more})
    return panel._act(visitor, event, gr.Request(client={"host": ADDRESS, "port": 1}))


def look(panel: MachinePanel, visitor: str = "word", **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = panel._look(visitor, gr.EventData(None, {"seen": "", **more}))
    return told


def problem_of(answer: dict[str, Any]) -> str:
    """Why an action failed, in words."""
    return html.unescape(answer["acted"]["problem"])


def line(told: dict[str, Any], name: str) -> str:
    [row] = [row for row in told["rows"] if row["id"] == name]
    return str(row["html"] + row["live"])


def test_a_model_is_loaded_and_unloaded(hub: Hub, panel: MachinePanel) -> None:
    told = act(panel, "load", "denoise_16")
    assert problem_of(told) == ""
    shown = line(told, "denoise_16")
    assert ">Loaded<" in shown or ">In use<" in shown
    assert "in memory" in shown
    assert "OpenVINO" in told["parts"]["device"] or "PyTorch" in told["parts"]["device"]
    assert 'data-do="install"' in line(told, "denoise_b")
    assert "disabled" not in line(told, "denoise_b")

    deadline = time.monotonic() + SECONDS
    while problem := problem_of(act(panel, "unload", "denoise_16")):  # The warm-up may still use it.
        assert problem == say("machine_in_use")
        assert time.monotonic() < deadline
        time.sleep(0.2)
    told = look(panel)
    assert 'data-do="load"' in line(told, "denoise_16")


def test_what_cannot_be_loaded_says_why(panel: MachinePanel) -> None:
    assert "python -m hub fetch denoise_b" in problem_of(act(panel, "load", "denoise_b"))
    assert problem_of(act(panel, "load", "gone")) == say("error_unknown_model")
    assert "Nothing is called" in problem_of(act(panel, "format", "denoise_16"))


def test_the_operators_key_unlocks_what_is_his(operated: MachinePanel) -> None:
    hub = operated._hub
    told = look(operated)
    assert told["locked"]
    assert not told["operator"]
    assert "disabled" in line(told, "denoise_b")
    assert "disabled" in told["parts"]["cache"]
    for do, name in (("install", "denoise_b"), ("load", "denoise_16"), ("unload", "denoise_16"), ("clear", "")):
        assert problem_of(act(operated, do, name)) == say("error_operators_only")
    assert problem_of(act(operated, "unlock")) == say("error_operators_only")
    wrong = act(operated, "unlock", key="not-the-operators-key")
    assert problem_of(wrong) == say("error_wrong_key")
    assert not wrong["operator"]
    assert not look(operated, key="not-the-operators-key")["operator"]
    assert hub.manager.list(kind=Kind.INSTALL) == []

    unlocked = act(operated, "unlock", key=KEY)
    assert unlocked["operator"]
    assert problem_of(unlocked) == ""
    assert "disabled" not in line(unlocked, "denoise_b")
    assert "disabled" not in unlocked["parts"]["cache"]
    assert problem_of(act(operated, "load", "denoise_16", key=KEY)) == ""
    assert problem_of(act(operated, "clear", key=KEY)) == ""
    assert look(operated, key=KEY)["operator"]
    visitor = "the word of a browser"
    assert problem_of(act(operated, "install", "denoise_b", visitor, key=KEY)) == ""
    [install] = hub.manager.list(owner=owner_of(hub, visitor))
    assert hub.manager.wait(install.job.id, SECONDS).job.error_code == "fetch_failed"


def test_wrong_keys_are_counted(operated: MachinePanel) -> None:
    problems = [problem_of(act(operated, "unlock", key="guess-guess-guess-guess")) for _ in range(21)]

    assert problems[0] == say("error_wrong_key")
    assert "Please try again in" in problems[-1]


def test_where_keys_are_asked_for_visitors_change_nothing(locked: MachinePanel) -> None:
    told = look(locked)
    assert not told["locked"], "There is no operator, and so no key to enter."
    assert say("machine_keys_only") in told["parts"]["rules"]
    for do, name in (("install", "denoise_b"), ("load", "denoise_16"), ("unload", "denoise_16"), ("clear", "")):
        for key in ("", OTHER_KEY):
            assert problem_of(act(locked, do, name, key=key)) != ""
    assert "disabled" in line(told, "denoise_16")
    assert "disabled" in told["parts"]["cache"]
    assert not any(model["loaded"] for model in locked._hub.models.status()["models"])


def test_the_cache_is_cleared_and_told(panel: MachinePanel) -> None:
    orphan = panel._hub.settings.resolved_results_dir / "images" / "denoise" / "processed"
    orphan.mkdir(parents=True, exist_ok=True)
    (orphan / f"1_{'0' * 24}_{'0' * 24}_enhanced_a.png").write_bytes(bytes(2_000_000))
    told = act(panel, "clear")

    assert problem_of(told) == ""
    assert "Deleted: " in told["parts"]["cleared"]
    words = cleared_words(Cleared(3, 1, 2), 4_200_000)
    assert "3 results, 4.2 MB freed" in words
    assert "in use: 1" in words
    assert "downloaded: 2" in words


def test_a_download_under_way_shows_and_can_be_stopped_by_its_owner(hub: Hub) -> None:
    entry = replace(hub.catalog.get("denoise_b"), path=None)
    held = {"in_use": 0, "loading": False, "loaded": False, "bytes": 0}
    job = replace(
        Job.new(Kind.INSTALL, "install", {"model_names": ["denoise_b"]}, "", "mine"), status=Status.PROCESSING
    )
    view = JobView(job, 42, "Downloading X: 80 of 200 MB", details={"bytes_done": 80_000_000})

    own, other = (model_line(entry, held, view, owner, "") for owner in ("mine", "another"))
    assert "width:42%" in own["live"]
    assert "80 of 200 MB" in own["live"]
    assert 'data-do="cancel"' in own["html"]
    assert 'data-do="cancel"' not in other["html"]
