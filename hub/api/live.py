"""The socket of live frames: JSON for pages, binary for programs."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from base64 import b64encode
from collections.abc import Collection, Coroutine
from typing import Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from hub.api.gate import address_of, key_of
from hub.api.problems import hub_error_response
from hub.errors import Busy, Forbidden, HubError, InvalidInput, TooManyRequests, Unauthorized
from hub.live.options import LiveFrame, LiveOptions
from hub.live.session import LiveSession, base64_bytes, too_many_bytes
from hub.service import Hub

log = logging.getLogger(__name__)

router = APIRouter()

KEY_SECONDS = 10.0
"""How long a client may take to send its key."""
IDLE_SECONDS = 60.0
"""How long a place is kept for a client that sends nothing."""
SEND_SECONDS = 20.0
"""How long a client may take to read an answer."""
FAREWELL_SECONDS = 0.5
OPTIONS_BYTES = 1 << 14
"""What the options of a frame may take beside its picture."""
MESSAGES_PER_FRAME = 4
"""Messages that are read for each frame that may be restored; clients that send faster are read more slowly."""
BURST_SECONDS = 1.0

DONE = 1000
GOING_AWAY = 1001
POLICY = 1008
TRY_LATER = 1013
KEY_REFUSED = 4401


class _Message(LiveOptions):
    """A text message: a frame, or the hello of the binary mode."""

    mode: Literal["binary", "json"] | None = None
    image_b64: str | None = None
    api_key: str | None = None

    @property
    def options(self) -> LiveOptions:
        return LiveOptions.model_construct(**self.model_dump(include=set(LiveOptions.model_fields)))


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
    if not _welcome(websocket, hub.settings.cors_origins):
        refusal = Forbidden(
            "foreign_page", "Pages of other sites may not connect here; HUB_CORS_ORIGINS names the origins that may."
        )
        await websocket.send_denial_response(hub_error_response(refusal))
        return
    await websocket.accept()
    await _Socket(websocket, hub).serve()


class _Socket:
    """One connection, from the handshake to its end."""

    def __init__(self, websocket: WebSocket, hub: Hub) -> None:
        self._websocket = websocket
        self._hub = hub
        self._hello: LiveOptions | None = None
        self._sending = asyncio.Lock()
        self._pace = _Pace(MESSAGES_PER_FRAME * hub.settings.live_max_fps)

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
                await _first_of(self._listen(session, message), self._answer(session))
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
            key = self._key_in(message)
        access.count(access.identify(key, address_of(self._websocket.scope)))
        return message

    def _key_in(self, message: str | bytes) -> str | None:
        try:
            return None if isinstance(message, bytes) else self._parse(message).api_key
        except HubError as error:
            raise Unauthorized("key_required", f"The first message must hold an api_key. {error.message}") from error

    async def _listen(self, session: LiveSession, message: str | bytes | None) -> None:
        """Pass on what the client sends, until it is gone."""
        while True:
            if message is not None:
                try:
                    await self._take(session, message)
                except HubError as error:
                    await self._send_error(error)
            await self._pace.keep()
            message = await self._next(session)

    async def _next(self, session: LiveSession) -> str | bytes:
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    return await self._receive()
            except TimeoutError:
                if not session.busy:
                    reason = f"No frame came for {IDLE_SECONDS:.0f} seconds; please connect again."
                    raise _Farewell(DONE, HubError("idle", reason)) from None

    async def _take(self, session: LiveSession, message: str | bytes) -> None:
        """Offer a frame, or take new options; raises HubError."""
        if isinstance(message, bytes):
            if self._hello is None:
                raise InvalidInput(
                    "no_hello", 'Before binary frames send a text message with the options: {"mode": "binary"}.'
                )
            session.offer(LiveFrame(self._hello, message))
            return
        parsed = self._parse(message)
        if parsed.image_b64 is not None:
            session.offer(LiveFrame(parsed.options, parsed.image_b64))
        elif parsed.mode == "binary" or (parsed.mode is None and self._hello is not None):
            self._hello = await session.check(parsed.options)
            ready = {"ready": True, **self._hello.model_dump(), **self._hub.live.limits(), "idle_seconds": IDLE_SECONDS}
            await self._send(json.dumps(ready))
        else:
            raise InvalidInput(
                "no_image",
                'A message holds a frame in "image_b64", or options and "mode": "binary" before binary frames.',
            )

    def _parse(self, text: str) -> _Message:
        most = self._hub.live.max_frame_bytes
        if len(text) > base64_bytes(most) + OPTIONS_BYTES:
            raise too_many_bytes(most)
        try:
            return _Message.model_validate_json(text)
        except ValidationError as error:
            wrong = [
                ": ".join([*(str(part) for part in item["loc"][:1]), item["msg"]])
                for item in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            raise InvalidInput("invalid_message", f"The message is not as it should be: {'; '.join(wrong)}.") from error
        except UnicodeEncodeError as error:  # Half of a character of two.
            raise InvalidInput("invalid_message", "The message holds characters that do not exist.") from error

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
                text = f"data:image/jpeg;base64,{b64encode(restored.jpeg).decode()}" if restored.as_text else None
                await self._send(restored.jpeg if text is None else text)

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


class _Pace:
    """Slows a client down that sends more messages per second than `rate`."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._due = 0.0

    async def keep(self) -> None:
        """Wait until the next message may be read."""
        now = time.monotonic()
        self._due = max(self._due, now - BURST_SECONDS) + self._interval
        if self._due > now:
            await asyncio.sleep(self._due - now)


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
    if origin is None or "*" in allowed or origin in allowed:
        return True
    try:
        site = urlsplit(origin.lower())
    except ValueError:
        return False
    usual = {"http": ":80", "https": ":443"}.get(site.scheme, "")
    host = websocket.headers.get("host", "").lower()
    return bool(site.netloc) and site.netloc.removesuffix(usual) == host.removesuffix(usual)


async def _first_of(*talks: Coroutine[Any, Any, None]) -> None:
    """Run all until the first one ends, cancel the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(talk) for talk in talks]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
