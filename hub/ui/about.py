"""About the models: what each is good at, where it ends, and whose it is; a sheet that any part of the page opens."""

from __future__ import annotations

import html
from pathlib import Path

import gradio as gr

from hub.catalog import ModelEntry
from hub.service import VERSION, Hub
from hub.ui.board import badge
from hub.ui.language import known, say
from hub.ui.models import model_good, model_name, task_name
from hub.ui.tab import QUIET

_ASSETS = Path(__file__).parent / "assets"
_LINKS = (("docs", "about_api"), ("redoc", "about_reference"), ("openapi.json", "about_openapi"))


def about_sheet(hub: Hub, page: gr.Blocks) -> None:
    """Add the sheet to the page; elements with `data-about` open it."""
    sheet = gr.HTML(
        about(hub),
        html_template=(_ASSETS / "about.html").read_text("utf-8"),
        js_on_load=(_ASSETS / "about.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="hub-about",
    )
    page.load(lambda: about(hub), None, sheet, **QUIET)  # Models come and go while the hub runs.


def about_button() -> str:
    """What opens the sheet."""
    return f'<button type="button" class="hub-link" data-about>{html.escape(say("about_open"))}</button>'


def about(hub: Hub) -> str:
    """The sheet, as HTML."""
    cards = "".join(map(_card, hub.catalog.models()))
    links = "".join(f'<li><a href="{address}">{html.escape(say(words))}</a></li>' for address, words in _LINKS)
    return (
        f'<form method="dialog" class="hub-about-head"><h2 id="hub-about-title">{html.escape(say("about_title"))}</h2>'
        f'<button type="submit" class="hub-action" autofocus>{html.escape(say("about_close"))}</button></form>'
        f"<p>{html.escape(say('about_intro'))}</p><p>{html.escape(say('about_choose'))}</p>"
        f'<div class="hub-about-cards">{cards}</div><h3>{html.escape(say("about_more"))}</h3>'
        f'<ul class="hub-about-links">{links}</ul>'
        f'<p class="hub-note">{html.escape(say("about_version", version=VERSION))}</p>'
    )


def _card(entry: ModelEntry) -> str:
    state = "installed" if entry.installed else "unusable" if entry.problem is not None else "absent"
    facts = [("about_good", model_good(entry))]
    for name, key in (("about_limits", "model_limits"), ("about_source", "model_source")):
        if known(f"{key}_{entry.name}"):
            facts.append((name, say(f"{key}_{entry.name}")))
    facts.append(("about_licence", entry.licence))
    told = "".join(
        f"<div><dt>{html.escape(say(name))}</dt><dd>{html.escape(words)}</dd></div>" for name, words in facts
    )
    return (
        f'<section class="hub-about-card"><h3>{html.escape(model_name(entry))}</h3>'
        f'<p class="hub-entry-facts">{badge(state, say(f"state_model_{state}"))}'
        f"<span>{html.escape(task_name(entry.task))}</span><span><code>{html.escape(entry.name)}</code></span></p>"
        f"<dl>{told}</dl></section>"
    )
