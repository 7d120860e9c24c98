"""What the photo picker holds: no photo, one with its picture, or several as a list.

Only the open page holds it: a reload starts with none.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Sequence
from typing import Any

from hub.ui.language import say

MOST = 50  # Photos at a time: more are better sent by a program.


def photos_of(value: Any) -> list[dict[str, Any]]:
    """The photos in a picker's value, each as `picked` made it; none in whatever else a browser sends."""
    if not isinstance(value, dict):
        return []
    photos = value.get("photos") or [value]
    return [photo for photo in photos if isinstance(photo, dict) and photo.get("name")][:MOST]


def holding(photos: Sequence[dict[str, Any]], *errors: str, answers: Any = None) -> dict[str, Any]:
    """The picker's value for these photos, with errors (plain words) below.

    answers: the number of the change that it answers, which the browser gave; None if it did not ask for one.
    """
    # No two values are alike: the browser waits to be told of each.
    said = {
        "errors": list(errors),
        "error": "<br>".join(map(html.escape, errors)),
        "turn": secrets.token_hex(4),
        "answers": answers,
    }
    if not photos:
        return said
    if len(photos) == 1:
        return {**photos[0], **said}
    title = html.escape(say("picker_count", count=len(photos)))
    items = "".join(map(_item, photos))
    return {"photos": list(photos), "count": title, "list": items, **said}


def errors_of(value: Any) -> list[str]:
    """The errors in a picker's value."""
    errors = value.get("errors") if isinstance(value, dict) else None
    return [str(error) for error in errors] if isinstance(errors, list) else []


def without(photos: Sequence[dict[str, Any]], one: Any) -> list[dict[str, Any]]:
    """The photos but one, which its preview tells from all others; none of them where `one` is None."""
    return [] if one is None else [photo for photo in photos if photo.get("preview") != one]


def _item(photo: dict[str, Any]) -> str:
    """A small picture with its name, and a button that takes it out; HTML."""
    remove = html.escape(say("picker_remove", name=photo["name"]))
    # The picker runs what stands in `${...}` once; what that inserts is never run.
    return (
        f'<li><img src="{html.escape(photo["preview"])}" alt="" loading="lazy">'
        f'<span title="{photo["shown"]}">{photo["shown"]}</span>'
        f'<button type="button" data-remove="{html.escape(photo["preview"])}" aria-label="{remove}" title="{remove}">'
        '<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="M7 7l10 10M17 7L7 17"/></svg>'
        "</button></li>"
    )
