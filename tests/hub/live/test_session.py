"""What becomes of a client's frames: the newest is restored, the others are dropped, and nothing is held for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.errors import Busy, Cancelled, Conflict, HubError, InvalidInput, TooLarge
from hub.live.options import LiveFrame, LiveOptions
from hub.live.service import Live
from hub.networks import Networks

from .sessions import restored, run, until

MakeLive = Callable[..., Live]
Save = Callable[..., bytes]
Flat = Callable[..., NDArray[np.uint8]]

PLAIN = LiveOptions()


@pytest.mark.parametrize("patches", [False, True])
def test_a_frame_comes_back_with_less_noise(
    make_live: MakeLive, save: Save, clean_photo: NDArray[np.uint8], noisy_photo: NDArray[np.uint8], patches: bool
) -> None:
    async def work() -> None:
        with make_live().open() as session:
            session.offer(LiveFrame(LiveOptions(use_patch_processing=patches, quality=98), save(noisy_photo)))
            answer = await restored(session)
        assert answer.shape == noisy_photo.shape
        before, after = (np.abs(p.astype(int) - clean_photo).mean() for p in (noisy_photo, answer))
        assert after < before / 2

    run(work())


def test_only_the_newest_frame_is_restored(make_live: MakeLive, save: Save, flat: Flat) -> None:
    async def work() -> None:
        live = make_live()
        with live.open() as session:
            for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)):
                session.offer(LiveFrame(PLAIN, save(flat(*colour))))
            answer = await restored(session)
            assert np.abs(answer.astype(int) - flat(0, 0, 255)).mean() < 20
            assert session.idle_seconds > 0
            waiting = asyncio.ensure_future(session.answer())
            assert await asyncio.wait([waiting], timeout=0.2) == (set(), {waiting})
            waiting.cancel()
        counters = live.counters()
        assert (counters["frames_total"], counters["dropped_total"], counters["failed_total"]) == (1, 2, 0)

    run(work())


def test_a_frame_that_comes_while_another_is_restored_is_next(make_live: MakeLive, save: Save, flat: Flat) -> None:
    async def work() -> None:
        live = make_live(live_max_fps=1000.0)
        with live.open() as session:
            session.offer(LiveFrame(PLAIN, save(flat(255, 0, 0))))
            first = asyncio.ensure_future(restored(session))
            await until(lambda: session._frame is None)
            for colour in ((0, 255, 0), (0, 0, 255)):
                session.offer(LiveFrame(PLAIN, save(flat(*colour))))
            assert np.abs((await first).astype(int) - flat(255, 0, 0)).mean() < 20
            assert np.abs((await restored(session)).astype(int) - flat(0, 0, 255)).mean() < 20
        assert live.counters()["dropped_total"] == 1

    run(work())


def test_no_more_frames_per_second_than_allowed(make_live: MakeLive, save: Save, flat: Flat) -> None:
    async def work() -> None:
        frame = LiveFrame(PLAIN, save(flat(1, 2, 3)))
        with make_live(live_max_fps=1.0).open() as session:
            session.offer(frame)
            await session.answer()
            began = time.monotonic()
            for _ in range(2):
                session.offer(frame)
                await session.answer()
            assert time.monotonic() - began > 1

    run(work())


def test_what_is_too_large_is_refused(make_live: MakeLive, save: Save) -> None:
    async def work() -> None:
        with make_live(live_max_frame_kb=16, live_max_megapixels=0.01).open() as session:
            for data in (bytes(16_001), "A" * 23_000):
                with pytest.raises(TooLarge) as caught:
                    session.offer(LiveFrame(PLAIN, data))
                assert caught.value.code == "frame_too_large"
            session.offer(LiveFrame(PLAIN, save(np.zeros((101, 100, 3), np.uint8))))
            with pytest.raises(TooLarge) as caught:
                await session.answer()
            assert caught.value.code == "too_many_pixels"

    run(work())


def test_an_error_is_an_answer_and_the_next_frame_is_restored(make_live: MakeLive, save: Save, flat: Flat) -> None:
    async def work() -> None:
        sound = save(flat(9, 9, 9))
        with make_live(live_max_fps=1000.0).open() as session:
            for options, data, kind, code in (
                (LiveOptions(model_name="denoise_b"), sound, Conflict, "weights_not_installed"),
                (LiveOptions(task_type="paint"), sound, InvalidInput, "unknown_task"),
                (LiveOptions(task_type="deblur", model_name="denoise_16"), sound, InvalidInput, "wrong_task"),
                (PLAIN, "no base64!", InvalidInput, "invalid_base64"),
                (PLAIN, b"no picture", HubError, "unsupported_format"),
            ):
                session.offer(LiveFrame(options, data))
                with pytest.raises(kind) as caught:
                    await session.answer()
                assert caught.value.code == code
                assert session.idle_seconds > 0
            session.offer(LiveFrame(PLAIN, sound))
            assert (await restored(session)).shape == (40, 60, 3)

    run(work())


def test_the_error_of_one_frame_does_not_cost_the_newer_one(
    make_live: MakeLive, save: Save, flat: Flat, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        sound = save(flat(9, 9, 9))
        with make_live(live_max_fps=1000.0).open() as session:
            resolve = session._entry
            newer = LiveFrame(PLAIN, sound)

            def while_a_newer_comes(options: LiveOptions) -> Any:
                session._frame = newer
                return resolve(options)

            monkeypatch.setattr(session, "_entry", while_a_newer_comes)
            session.offer(LiveFrame(LiveOptions(model_name="denoise_b"), sound))
            with pytest.raises(Conflict):
                await session.answer()
            monkeypatch.undo()
            assert session.idle_seconds == 0
            assert (await restored(session)).shape == (40, 60, 3)

    run(work())


def test_options_are_checked_beforehand(make_live: MakeLive) -> None:
    async def work() -> None:
        with make_live().open() as session:
            checked, installed = await session.check(LiveOptions(task_type=None, model_name="", quality=50))
            assert (checked.task_type, checked.model_name, checked.quality) == ("denoise", "denoise_16", 50)
            assert installed
            with pytest.raises(InvalidInput):
                await session.check(LiveOptions(model_name="\ud800"))
            with pytest.raises(Conflict):
                await session.check(LiveOptions(model_name="denoise_b"))

    run(work())


def test_nothing_is_held_for_a_client_that_sends_nothing(
    make_live: MakeLive, networks: Networks, save: Save, flat: Flat
) -> None:
    async def work() -> None:
        live = make_live()
        with live.open() as session:
            session.offer(LiveFrame(PLAIN, save(flat(9, 9, 9))))
            await session.answer()
            # For a moment the session stays: the next frame of a camera comes within it.
            assert live.counters()["threads"] == 1
            assert networks.engine.status().models[0].in_use == 1
            await until(lambda: live.counters()["threads"] == 0)
            assert networks.engine.status().models[0].in_use == 0
            assert live.counters()["clients"] == 1

    run(work())


def test_many_clients_share_few_threads(make_live: MakeLive, save: Save, flat: Flat) -> None:
    async def work() -> None:
        live = make_live(live_clients=20)
        frame = LiveFrame(PLAIN, save(flat(9, 9, 9)))
        most = 0

        async def client() -> int:
            nonlocal most
            with live.open() as session:
                session.offer(frame)
                answer = await session.answer()
                most = max(most, live.counters()["threads"])
            return len(answer.jpeg)

        assert min(await asyncio.gather(*(client() for _ in range(20)))) > 0
        assert 1 < most <= 16
        assert live.counters()["clients"] == 0
        assert live.counters()["frames_total"] == 20

    run(work())


def test_places_are_limited(make_live: MakeLive) -> None:
    async def work() -> None:
        live = make_live(live_clients=2)
        with live.open(), live.open():
            with pytest.raises(Busy) as caught, live.open():
                pass
            assert caught.value.code == "live_full"
        with live.open():
            assert live.counters()["clients"] == 1

    run(work())


def test_the_frame_of_a_client_that_left_is_given_up(make_live: MakeLive, save: Save, flat: Flat) -> None:
    async def work() -> None:
        live = make_live()
        with live.open() as session:
            session.offer(LiveFrame(PLAIN, save(flat(9, 9, 9))))
            session.close()
            with pytest.raises(Cancelled):
                await session.answer()
        assert live.counters()["failed_total"] == 0
        with live.open() as session:
            session.offer(LiveFrame(PLAIN, save(flat(9, 9, 9))))
            await session.answer()

    run(work())


def test_stopping_ends_everything_at_once(make_live: MakeLive, save: Save) -> None:
    async def work() -> None:
        live = make_live()
        told = asyncio.Event()
        with live.open() as session, live.stopping.calling(told.set):
            session.offer(LiveFrame(PLAIN, save(np.zeros((900, 900, 3), np.uint8))))
            answer = asyncio.ensure_future(session.answer())
            await until(lambda: session._frame is None)
            began = time.monotonic()
            await asyncio.to_thread(live.stop)
            with pytest.raises(Cancelled):
                await answer
            # The tile that runs is waited for by nobody.
            assert time.monotonic() - began < 5
            await asyncio.wait_for(told.wait(), 1)
            session.offer(LiveFrame(PLAIN, b""))
            with pytest.raises(Cancelled):
                await session.answer()
        with pytest.raises(Busy), live.open():
            pass
        assert live.counters()["threads"] == 0

    run(work())
