"""Two drivers of the same flows: one waits, the other awaits."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from typing import Any, TypeVar

import httpx

from hub.client.effects import Ask, Call, Do, Effect, Flow, Open, Pause, Read, Tell

T = TypeVar("T")


class Driver:
    """Runs flows over an httpx.Client."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def run(self, flow: Flow[T]) -> T:
        """Carry a flow's effects out until it returns."""
        with _Stream(self._http) as stream, closing(flow):
            try:
                effect = next(flow)
                while True:
                    try:
                        outcome = self._perform(effect, stream)
                    except Exception as error:  # noqa: BLE001 - the flow decides what becomes of it
                        effect = flow.throw(error)
                    else:
                        effect = flow.send(outcome)
            except StopIteration as end:
                value: T = end.value
                return value

    def _perform(self, effect: Effect, stream: _Stream) -> Any:
        match effect:
            case Ask(call):
                return self._http.send(call.build(self._http))
            case Open(call):
                return stream.open(call)
            case Read():
                return stream.read()
            case Pause(seconds):
                return time.sleep(seconds)
            case Do(function, arguments):
                return function(*arguments)
            case Tell(progress, status):
                return progress(status)


class _Stream:
    """The one response that is open, if any."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._stack = ExitStack()
        self._chunks: Iterator[bytes] = iter(())

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, call: Call) -> httpx.Response:
        self._stack.close()
        response = self._http.send(call.build(self._http), stream=True)
        self._stack.enter_context(closing(response))
        if not response.is_success:
            response.read()
        self._chunks = response.iter_bytes()
        return response

    def read(self) -> bytes:
        return next(self._chunks, b"")


class AsyncDriver:
    """Runs flows over an httpx.AsyncClient; what may wait for the disk is done on other threads."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def run(self, flow: Flow[T]) -> T:
        """Carry a flow's effects out until it returns."""
        async with _AsyncStream(self._http) as stream:
            with closing(flow):
                try:
                    effect = next(flow)
                    while True:
                        try:
                            outcome = await self._perform(effect, stream)
                        except Exception as error:  # noqa: BLE001 - the flow decides what becomes of it
                            effect = flow.throw(error)
                        else:
                            effect = flow.send(outcome)
                except StopIteration as end:
                    value: T = end.value
                    return value

    async def _perform(self, effect: Effect, stream: _AsyncStream) -> Any:
        match effect:
            case Ask(call):
                return await self._http.send(self._threaded(call))
            case Open(call):
                return await stream.open(call)
            case Read():
                return await stream.read()
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Do(function, arguments):
                return await asyncio.to_thread(function, *arguments)
            case Tell(progress, status):
                told = progress(status)
                return await told if inspect.isawaitable(told) else told

    def _threaded(self, call: Call) -> httpx.Request:
        request = call.build(self._http)
        if call.file is not None and isinstance(request.stream, httpx.SyncByteStream):
            request.stream = _ReadAside(request.stream)
        return request


class _AsyncStream:
    """The one response that is open, if any."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._stack = AsyncExitStack()
        self._chunks: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> _AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def open(self, call: Call) -> httpx.Response:
        await self._stack.aclose()
        response = await self._http.send(call.build(self._http), stream=True)
        self._stack.push_async_callback(response.aclose)
        if not response.is_success:
            await response.aread()
        self._chunks = response.aiter_bytes()
        return response

    async def read(self) -> bytes:
        return b"" if self._chunks is None else await anext(self._chunks, b"")


class _ReadAside(httpx.AsyncByteStream):
    """A body whose file is read on other threads, so that a slow disk holds no event loop up."""

    def __init__(self, body: httpx.SyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = iter(self._body)
        # An empty form field makes an empty chunk, which does not end the body.
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk
