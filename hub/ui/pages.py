"""One Gradio application per language: the English one from the start, any other from its first visitor on."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

import gradio as gr
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from hub.service import Hub
from hub.ui import look
from hub.ui.environment import prepare_environment
from hub.ui.examples import load_examples
from hub.ui.language import ENGLISH, choose, speaking
from hub.ui.page import build_page, page_cache

log = logging.getLogger(__name__)

_ASSETS = Path(__file__).parent / "assets"
_QUEUE_PAUSE_SECONDS = 0.01


class Pages:
    """The ASGI application that answers each browser in its language, as its Accept-Language header says.

    A browser sends the same header with all it asks for, so that it stays with one page. Use it as an asynchronous
    context manager, which runs the lifespans of the pages.
    """

    def __init__(self, hub: Hub) -> None:
        """Draws the examples at the first start, which takes a second or two."""
        self._hub = hub
        self._cache = page_cache(hub)
        self._cache.sweep()
        prepare_environment(self._cache.root, hub.settings.data_dir / "bin")
        self._examples = load_examples(hub.settings.data_dir / "examples")
        self._built = {ENGLISH: self._build(ENGLISH)}
        self._open: dict[str, Starlette] = {}
        self._building = asyncio.Lock()
        self._lifespans = AsyncExitStack()

    async def __aenter__(self) -> Pages:
        await self._enter(ENGLISH, self._built[ENGLISH])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._lifespans.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        language = choose(Headers(scope=scope).get("accept-language"))
        page = self._open.get(language) or await self._add(language)

        async def send_varying(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header("Accept-Language")
            await send(message)

        await page(scope, receive, send_varying)

    async def _add(self, language: str) -> Starlette:
        """Build the page of a language, unless somebody else just did."""
        async with self._building:
            if language not in self._open:
                log.info("The page is made for its first visitor who reads %r.", language)
                await self._enter(language, await run_in_threadpool(self._build, language))
        return self._open[language]

    async def _enter(self, language: str, page: Starlette) -> None:
        await self._lifespans.enter_async_context(page.router.lifespan_context(page))
        self._open[language] = page

    def _build(self, language: str) -> Starlette:
        """An application that has Gradio's as its only route, below the sub-path of a reverse proxy if there is one."""
        settings = self._hub.settings
        with speaking(language):
            page = build_page(self._hub, self._cache, self._examples)
        # Gradio looks for events a thousand times a second, and an idle hub would spend a twentieth of a core on it.
        page._queue.sleep_when_free = _QUEUE_PAUSE_SECONDS
        shell = Starlette()
        gr.mount_gradio_app(
            shell,
            page,
            path="/",
            root_path=settings.root_path or None,
            max_file_size=settings.max_upload_mb * 1_000_000,
            allowed_paths=[],
            head=_head(),
            favicon_path=str(_ASSETS / "icon.svg"),
            footer_links=["api"],  # Without it `?view=api` shows nothing; the page has a footer of its own.
            run_history=False,
            show_error=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            enable_monitoring=False,
            theme=look.theme(),
            css_paths=sorted(_ASSETS.glob("*.css")),
        )
        return shell


def _head() -> str:
    """What Gradio puts into each page's head; addresses are relative, so that they hold below a sub-path too."""
    script = (_ASSETS / "storage.js").read_text("utf-8")
    return f'<link rel="icon" type="image/svg+xml" href="favicon.ico"><script>{script}</script>'
