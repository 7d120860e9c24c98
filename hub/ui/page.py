"""The page: a heading and one tab per kind of work."""

from __future__ import annotations

import gradio as gr

from hub.service import Hub
from hub.ui import text
from hub.ui.cache import PageCache
from hub.ui.environment import prepare_environment
from hub.ui.examples import load_examples
from hub.ui.photo import PhotoTab
from hub.ui.video import VideoTab

_GIB = 1 << 30
_CACHE_SECONDS = 2 * 3600
_SWEEP_SECONDS = 600
# Whoever comes back finds the tab that was used last.
_OPEN_LAST_TAB = """() => {
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


def build_page(hub: Hub) -> gr.Blocks:
    """Everything that people see at `/`; draws the examples at the first start."""
    cache = page_cache(hub)
    cache.sweep()
    prepare_environment(cache.root, hub.settings.data_dir / "bin")
    page = gr.Blocks(
        title=text.TITLE,
        analytics_enabled=False,
        delete_cache=(_SWEEP_SECONDS, _CACHE_SECONDS),
        fill_width=True,
    )
    with page:
        gr.HTML(_header(), apply_default_css=False, elem_id="hub-header")
        tabs = gr.Tabs(elem_classes="hub-tabs")
        PhotoTab(hub, cache, tabs, load_examples(hub.settings.data_dir / "examples")).restore_on_load(page)
        VideoTab(hub, cache, tabs).restore_on_load(page)
        gr.HTML(_footer(), apply_default_css=False, elem_id="hub-footer")
        page.load(None, js=_OPEN_LAST_TAB, api_visibility="private")
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
    return f'<div class="hub-header">{_LOGO}<div><h1>{text.TITLE}</h1><p>{text.TAGLINE}</p></div></div>'


def _footer() -> str:
    return f'<div class="hub-footer"><span>{text.FOOTER_PRIVACY}</span><a href="docs">{text.FOOTER_API}</a></div>'
