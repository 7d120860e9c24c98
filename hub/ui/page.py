"""The page: a heading and one tab per kind of work."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from hub.service import Hub
from hub.ui.about import about_button, about_sheet
from hub.ui.activity import ActivityTab
from hub.ui.cache import PageCache
from hub.ui.endpoints import OPEN_API_PAGE, Endpoints
from hub.ui.examples import Example
from hub.ui.language import language, say, spoken
from hub.ui.live import LiveTab
from hub.ui.photo import PhotoTab
from hub.ui.video import VideoTab
from hub.ui.visitors import GREET, visitor_state

_GIB = 1 << 30
_CACHE_SECONDS = 2 * 3600
_SWEEP_SECONDS = 600
# For screen readers the language that is spoken; and whoever comes back finds the tab that was used last.
_ON_OPEN = """() => {
  document.documentElement.lang = "{{language}}";
  document.addEventListener("click", (event) => {
    const tab = event.target.closest("[data-tab-id]");
    if (tab) localStorage.setItem("uformer-hub-tab", tab.dataset.tabId);
  });
  const last = localStorage.getItem("uformer-hub-tab");
  [...document.querySelectorAll("[data-tab-id]")].find((tab) => tab.dataset.tabId === last)?.click();
}"""
_LOGO = (
    '<svg viewBox="0 0 32 32" aria-hidden="true" focusable="false"><rect width="32" height="32" rx="9"/>'
    '<circle cx="10" cy="10" r="1.6"/><circle cx="6.5" cy="16" r="1.2"/><circle cx="11" cy="20" r="1.8"/>'
    '<circle cx="7.5" cy="24.5" r="1.1"/><circle cx="13" cy="14.5" r="1.1"/><path d="M16 5a11 11 0 0 1 0 22z"/></svg>'
)


def build_page(hub: Hub, cache: PageCache, examples: Sequence[Example]) -> gr.Blocks:
    """Everything that people see at `/`, in the language that is current, which its handlers speak too."""
    page = gr.Blocks(
        title=say("title"),
        analytics_enabled=False,
        delete_cache=(_SWEEP_SECONDS, _CACHE_SECONDS),
        fill_width=True,
    )
    with page:
        gr.HTML(_header(), apply_default_css=False, elem_id="hub-header")
        tabs = gr.Tabs(elem_classes="hub-tabs")
        visitor = visitor_state()
        page.load(None, visitor, visitor, js=GREET, api_visibility="private")
        photo = PhotoTab(hub, cache, tabs, visitor, examples)
        photo.restore_on_load(page)
        video = VideoTab(hub, cache, tabs, visitor)
        video.restore_on_load(page)
        LiveTab(hub, tabs).refresh_on_load(page)
        ActivityTab(hub, cache, tabs, visitor, photo, video)
        about_sheet(hub, page)
        gr.HTML(_footer(), apply_default_css=False, elem_id="hub-footer")
        page.load(None, js=_ON_OPEN.replace("{{language}}", language()), api_visibility="private")
        Endpoints(hub, cache)
        page.load(None, js=OPEN_API_PAGE, api_visibility="private")
    for event in page.fns.values():
        if event.fn is not None:
            event.fn = spoken(event.fn)
    page.api_open = False  # As an argument of `queue` it would build Gradio's application once more.
    return page


def page_cache(hub: Hub) -> PageCache:
    """The folder that Gradio uploads into and serves from; a job's own copy of a file lies elsewhere."""
    settings = hub.settings
    return PageCache(
        settings.data_dir / "page",
        max_bytes=2 * _GIB,
        max_large_bytes=max(2 * _GIB, 4 * settings.max_upload_mb * 1_000_000),
        max_age=_CACHE_SECONDS,
    )


def _header() -> str:
    return f'<div class="hub-header">{_LOGO}<div><h1>{say("title")}</h1><p>{say("tagline")}</p></div></div>'


def _footer() -> str:
    links = f'{about_button()}<a href="docs">{say("footer_api")}</a><a href="?view=api">{say("footer_gradio")}</a>'
    return f'<div class="hub-footer"><span>{say("footer_privacy")}</span><span>{links}</span></div>'
