"""What is done for a frame only when its turn has come, and what keeps others from theirs."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.engine import EngineSession
from hub.errors import HubError, TooLarge
from hub.live.messages import Message
from hub.live.options import LiveFrame, LiveOptions
from hub.live.pictures import decode
from hub.live.service import Live

from .sessions import restored, run, until

MakeLive = Callable[..., Live]
Save = Callable[..., bytes]
Flat = Callable[..., NDArray[np.uint8]]

PLAIN = LiveOptions()


def message(data: bytes, **options: Any) -> str:
    return json.dumps({"image_b64": base64.b64encode(data).decode(), **options})


def test_of_messages_only_the_newest_is_read(
    make_live: MakeLive, save: Save, flat: Flat, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[threading.Thread, str]] = []

    def watched(text: str) -> Message:
        read.append((threading.current_thread(), text))
        return Message.model_validate_json(text)

    monkeypatch.setattr(Message, "read", watched)

    async def work() -> None:
        with make_live().open() as session:
            for text in ("nonsense", message(save(flat(255, 0, 0))), message(save(flat(0, 0, 255)), show_fps=True)):
                session.offer(text)
            answer = await session.answer()
            assert answer.url == f"data:image/jpeg;base64,{base64.b64encode(answer.jpeg).decode()}"
            assert decode(answer.jpeg, 10_000)[30, 50, 2] > 200
        ((thread, newest),) = read
        assert thread is not threading.current_thread()
        assert newest == text

    run(work())


def test_a_message_that_is_wrong_is_told_when_its_turn_has_come(make_live: MakeLive, save: Save, flat: Flat) -> None:
    async def work() -> None:
        with make_live(live_max_fps=1000.0, live_max_frame_kb=16).open() as session:
            for text, code in (
                ("nonsense", "invalid_message"),
                ("{}", "no_image"),
                (message(b"", model_name="none"), "unknown_model"),
                (json.dumps({"image_b64": "A" * 25_000}), "frame_too_large"),
            ):
                session.offer(text)
                with pytest.raises(HubError) as caught:
                    await session.answer()
                assert caught.value.code == code
                assert session.idle_seconds > 0
            with pytest.raises(TooLarge):
                session.offer("A" * 50_000)
            session.offer(message(save(flat(9, 9, 9))))
            assert (await restored(session)).shape == (40, 60, 3)

    run(work())


def test_no_frame_waits_while_something_is_compiled_for_another(
    make_live: MakeLive, save: Save, flat: Flat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.live.service.FRAMES_AT_ONCE", 1)
    compiled = threading.Event()
    warm = EngineSession.warm

    def slow(session: EngineSession, shape: tuple[int, int]) -> None:
        if shape == (128, 256):
            assert compiled.wait(60)
        warm(session, shape)

    monkeypatch.setattr(EngineSession, "warm", slow)

    async def work() -> None:
        live = make_live()
        with live.open() as wide, live.open() as small:
            wide.offer(LiveFrame(PLAIN, save(flat(9, 9, 9, width=200))))
            waiting = asyncio.ensure_future(restored(wide))
            await until(lambda: wide._frame is None)
            small.offer(LiveFrame(PLAIN, save(flat(9, 9, 9))))
            assert (await restored(small)).shape == (40, 60, 3)
            assert not waiting.done()
            compiled.set()
            assert (await waiting).shape == (40, 200, 3)

    run(work())
