"""The socket of live frames: JSON for pages, binary for programs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Coroutine
from contextlib import ExitStack
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from hub.access import owner_of_address
from hub.api.gate import address_of, key_of
from hub.api.origins import is_named, is_own
from hub.api.pace import Pace
from hub.api.problems import hub_error_response
from hub.errors import Busy, Forbidden, HubError, InvalidInput, TooManyRequests, Unauthorized
from hub.live.messages import OPTIONS_BYTES, Message, check_size
from hub.live.options import LiveFrame, LiveOptions
from hub.live.session import LiveSession
from hub.service import Hub

log = logging.getLogger(__name__)

router = APIRouter()

KEY_SECONDS = 10.0
"""How long a client may take to send its key."""
SEND_SECONDS = 20.0
"""How long a client may take to read an answer."""
FAREWELL_SECONDS = 0.5

DONE = 1000
GOING_AWAY = 1001
POLICY = 1008
TRY_LATER = 1013
KEY_REFUSED = 4401


class _Farewell(Exception):
    """The server ends the connection with this code, and says why before."""

    def __init__(self, code: int, error: HubError | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.error = error


@router.websocket("/ws/process_video")
async def process_video(websocket: WebSocket) -> None:
    """Restore frames as they come; docs/API_USAGE_GUIDE.md tells what is sent."""
    hub: Hub = websocket.app.state.hub
    with ExitStack() as lobby:
        try:
            if not _welcome(websocket, hub.settings.cors_origins):
                raise Forbidden(
                    "foreign_page",
                    "Pages of other sites may not connect here; HUB_CORS_ORIGINS names the origins that may.",
                )
            if hub.access.required and key_of(websocket.headers) is None:
                lobby.enter_context(hub.live.lobby.place(owner_of_address(address_of(websocket.scope))))
        except HubError as refusal:
            await websocket.send_denial_response(hub_error_response(refusal))
            return
        await websocket.accept()
        await _Socket(websocket, hub, lobby).serve()


class _Socket:
    """One connection, from the handshake to its end; lobby: left as soon as it is known who calls."""

    def __init__(self, websocket: WebSocket, hub: Hub, lobby: ExitStack) -> None:
        self._websocket = websocket
        self._hub = hub
        self._lobby = lobby
        self._hello: LiveOptions | None = None
        self._sending = asyncio.Lock()
        self._pace = Pace(hub.settings.live_max_mb_per_second * 1e6)

    async def serve(self) -> None:
        """Talk to the client until either side has had enough."""
        try:
            await _first_of(self._talk(), self._stopped())
        except WebSocketDisconnect:
            return
        except _Farewell as farewell:
            await self._close(farewell)

    async def _stopped(self) -> None:
        stopped = asyncio.Event()
        stopping = self._hub.live.stopping
        with stopping.calling(stopped.set):
            if not stopping.begun:
                await stopped.wait()
        raise _Farewell(GOING_AWAY)

    async def _talk(self) -> None:
        try:
            message = await self._admit()
            with self._hub.live.open() as session:
                await _first_of(self._listen(session, message), self._answer(session), self._dismissed(session))
        except Unauthorized as error:
            raise _Farewell(KEY_REFUSED, error) from error
        except (Busy, TooManyRequests) as error:
            raise _Farewell(TRY_LATER, error) from error

    async def _admit(self) -> str | bytes | None:
        """Find out who calls; returns the message that had to be read for that, if one had to.

        Raises Unauthorized, TooManyRequests.
        """
        access = self._hub.access
        key, message = key_of(self._websocket.headers), None
        if key is None and access.required:
            try:
                async with asyncio.timeout(KEY_SECONDS):
                    message = await self._receive()
            except TimeoutError:
                raise Unauthorized(
                    "key_required", f"No message with an api_key came within {KEY_SECONDS:.0f} seconds."
                ) from None
            key = await self._key_in(message)
        access.count(access.identify(key, address_of(self._websocket.scope)))
        self._lobby.close()
        return message

    async def _key_in(self, message: str | bytes) -> str | None:
        if isinstance(message, bytes):
            return None
        try:
            check_size(message, self._hub.live.max_frame_bytes, beside=OPTIONS_BYTES)
            read = await asyncio.to_thread(Message.read, message) if _is_long(message) else Message.read(message)
        except HubError as error:
            raise Unauthorized("key_required", f"The first message must hold an api_key. {error.message}") from error
        return read.api_key

    async def _listen(self, session: LiveSession, message: str | bytes | None) -> None:
        """Pass on what the client sends, until it is gone. All is read at once, so that the newest frame is known."""
        while True:
            if message is not None:
                try:
                    await self._take(session, message)
                except HubError as error:
                    await self._send_error(error)
                await self._pace.keep(len(message))
            message = await self._receive()

    async def _dismissed(self, session: LiveSession) -> None:
        await session.dismissed()
        raise _Farewell(
            DONE, HubError("idle", "Another client needed this place, which lay idle; please connect again.")
        )

    async def _take(self, session: LiveSession, message: str | bytes) -> None:
        """Offer a frame, or take new options; raises HubError."""
        if isinstance(message, bytes):
            if self._hello is None:
                raise InvalidInput(
                    "no_hello",
                    'Before binary frames send a text message with the options, as in {"task_type": "denoise"}.',
                )
            session.offer(LiveFrame(self._hello, message))
            return
        if _is_long(message):
            session.offer(message)
            return
        read = Message.read(message)
        if not read.is_hello:
            session.offer(read.frame)
            return
        self._hello, installed = await session.check(read.options)
        # Who does not know of modes expects nothing but pictures.
        if read.mode is not None:
            hello = self._hello.model_dump()
            ready = {"ready": True, **hello, "installed": installed, **self._hub.live.limits()}
            await self._send(json.dumps(ready))

    async def _answer(self, session: LiveSession) -> None:
        """Send what is restored; the next frame is begun when this one has left: a slow reader delays only itself."""
        while True:
            try:
                restored = await session.answer()
            except HubError as error:
                await self._send_error(error)
            except Exception:
                log.exception("A live frame failed")
                await self._send_error(
                    HubError("internal_error", "The hub failed to restore this frame; its log says why.")
                )
            else:
                await self._send(restored.jpeg if restored.url is None else restored.url)

    async def _receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", DONE))
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return data if text is None else text

    async def _send(self, message: str | bytes) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS), self._sending:
                if isinstance(message, str):
                    await self._websocket.send_text(message)
                else:
                    await self._websocket.send_bytes(message)
        except TimeoutError:
            raise _Farewell(POLICY) from None

    async def _send_error(self, error: HubError) -> None:
        await self._send(json.dumps(_told(error)))

    async def _close(self, farewell: _Farewell) -> None:
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                if farewell.error is not None:
                    await self._websocket.send_text(json.dumps(_told(farewell.error)))
                await self._websocket.close(farewell.code)
        except (TimeoutError, WebSocketDisconnect):
            return  # It does not listen; the server drops the connection.


def _is_long(message: str) -> bool:
    """Whether reading it would take the event loop too long. It holds a frame then, or nothing of use."""
    return len(message) > OPTIONS_BYTES


def _told(error: HubError) -> dict[str, Any]:
    told: dict[str, Any] = {"error": error.message, "code": error.code, **error.data}
    if isinstance(error, Busy | TooManyRequests):
        told["retry_after"] = error.retry_after
    return told


def _welcome(websocket: WebSocket, allowed: Collection[str]) -> bool:
    """Whether the page that connects, if it is one, belongs to this site or to one that is allowed.

    Browsers let any page open sockets to any address that they can reach, and name the page's site in Origin.
    """
    origin = websocket.headers.get("origin")
    return origin is None or is_named(origin, allowed) or is_own(origin, websocket.headers.get("host", ""))


async def _first_of(*talks: Coroutine[Any, Any, None]) -> None:
    """Run all until the first one ends, cancel the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(talk) for talk in talks]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        # `gather` would put the tasks' own cancellation in the place of one that comes from outside.
        await asyncio.wait(tasks)
    for task in set(tasks) - done:
        if not task.cancelled():
            task.exception()  # Nobody asks for it, and that is no oversight.
    for task in done:
        task.result()
