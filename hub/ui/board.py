"""A board: a list that the hub tells line by line, and a browser keeps up to date for as long as it is looked at.

Its value is a dict: `rows` (each `id`, `html`, `live` and `said`, see assets/board.js), `parts` (name to HTML) and what
else its script knows. Its events are `look`, with what was `seen` last, and `act`, with what to `do` with which `id`.
"""

from __future__ import annotations

import hashlib
import html
import json
import secrets
from collections.abc import Mapping
from typing import Any

import gradio as gr

from hub.ui.component import ASSETS, worded
from hub.ui.language import language


def board(elem_id: str, template: str, **parts: str) -> gr.HTML:
    """An empty board. template: a file among the assets; `<!-- name -->` in it is replaced by the part of that name."""
    shell = (ASSETS / template).read_text("utf-8") + (ASSETS / "board.html").read_text("utf-8")
    shell = worded(shell)
    for name, part in parts.items():
        shell = shell.replace(f"<!-- {name} -->", part)
    return gr.HTML(
        value=None,
        html_template=f'<div class="hub-board" data-language="{language()}">{shell}</div>',
        js_on_load=(ASSETS / "board.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id=elem_id,
    )


def news(value: Mapping[str, Any], seen: object) -> Any:
    """A board's value for a browser that has `seen` an earlier one; nothing if that was the same."""
    mark = hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=12).hexdigest()
    return gr.skip() if mark == seen else {**value, "seen": mark}


def answer(value: Mapping[str, Any], job_id: object, problem: str = "", **more: Any) -> dict[str, Any]:
    """A board's value after an action on a line. problem: why it failed, in words."""
    # No two answers are alike: the browser would not be told of the same one twice.
    acted = {"id": job_id, "problem": html.escape(problem), "turn": secrets.token_hex(4)}
    return {**value, **more, "seen": "", "acted": acted}


def button(do: str, words: str, about: str, look: str = "", *, reason: str = "", **data: str) -> str:
    """A button that asks the hub to do something. about: with what, for those who do not see its place.

    reason: why it cannot be pressed, if so.
    """
    more = "".join(f' data-{name}="{html.escape(value)}"' for name, value in data.items())
    if reason:
        more += f' disabled title="{html.escape(reason)}"'
    return (
        f'<button type="button" class="{f"hub-action {look}".strip()}" data-do="{do}" '
        f'aria-label="{html.escape(f"{words}: {about}")}"{more}>{html.escape(words)}</button>'
    )


def badge(state: str, words: str) -> str:
    """In what state something is, as a word on a colour."""
    return f'<span class="hub-badge" data-state="{state}">{html.escape(words)}</span>'
