"""What open requests hear when the hub stops: uploads a refusal, streams of events their end, the others nothing."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.problems import BodyRefused, hub_error_response
from hub.api.uploads import path_of
from hub.errors import Busy
from hub.service import Hub

SUBMISSIONS = ("/api/process_", "/api/install_models", "/api/generate_preview", "/gradio_api/upload")
"""How the paths begin to which something is posted that a stopping hub does not begin any more."""


class StopGate:
    """ASGI middleware for the seconds in which the hub stops.

    A submission gets 503 (`not_accepting`) at once, also one whose body is still on its way, or has stalled there. A
    stream of server-sent events ends as if all had been told: its client connects again, to the next server.
    """

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self.app = app
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        submits = scope["method"] == "POST" and path_of(scope).startswith(SUBMISSIONS)
        exchange = _Exchange(receive, send, submits=submits)
        if exchange.submits and self.hub.stopping.begun:
            await hub_error_response(_refusal())(scope, receive, send)
            return
        with self.hub.stopping.calling(exchange.stop):
            await self.app(scope, exchange.receive, exchange.send)
        await exchange.end()


class _Exchange:
    """One request and its answer."""

    def __init__(self, receive: Receive, send: Send, *, submits: bool) -> None:
        self.submits = submits
        self._receive = receive
        self._send = send
        self._waiting: set[asyncio.Timeout] = set()
        self._stopped = False
        self._arrived = False
        self._streams = False
        self._ended = False

    def stop(self) -> None:
        """Wake whoever waits for the client."""
        self._stopped = True
        now = asyncio.get_running_loop().time()
        for waiting in self._waiting:
            waiting.reschedule(now)

    async def receive(self) -> Message:
        """The client's next message; once the hub stops, a refusal or an end where those are due."""
        if not self._stopped:
            try:
                async with asyncio.timeout(None) as waiting:
                    self._waiting.add(waiting)
                    try:
                        message = await self._receive()
                    finally:
                        self._waiting.discard(waiting)
                self._arrived = not message.get("more_body", False)
            except TimeoutError:
                self._stopped = True
            else:
                return message
        if self.submits and not self._arrived:
            raise BodyRefused(_refusal())
        if self._streams:
            return {"type": "http.disconnect"}
        return await self._receive()

    async def send(self, message: Message) -> None:
        """Pass the answer on, taking note of what it is."""
        if message["type"] == "http.response.start":
            self._streams = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
        elif message["type"] == "http.response.body":
            self._ended = not message.get("more_body", False)
        await self._send(message)

    async def end(self) -> None:
        """Finish a stream that was told to end."""
        if self._stopped and self._streams and not self._ended:
            await self._send({"type": "http.response.body", "body": b""})


def _refusal() -> Busy:
    return Busy("not_accepting", "The hub is stopping; please try again in a moment.")
