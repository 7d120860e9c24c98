"""The photo picker and the example gallery: small components of the page's own, on Gradio's HTML component.

Gradio's Image component opens what it is given with Pillow and shows it in the browser, which neither camera raw,
HEIC nor 16-bit files survive; its File component cannot be pasted into. Here the browser uploads the file's own bytes.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from hub.ui import text
from hub.ui.examples import Example

_ASSETS = Path(__file__).parent / "assets"
# Besides image/*: types that browsers do not count as images. Naming HEIC keeps iOS from converting it to JPEG.
_ACCEPT = (
    "image/*,image/heic,image/heif,.heic,.heif,.avif,.tif,.tiff,.dng,.nef,.nrw,.cr2,.cr3,.crw,.arw,.srf,.sr2,.orf,"
    ".rw2,.raf,.pef,.srw,.3fr,.erf,.kdc,.mef,.mos,.mrw,.raw,.rwl,.x3f"
)
_CHOOSE_EXAMPLE = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-example]");
  if (button) trigger("select", { key: button.dataset.example });
});
"""


def photo_picker(max_upload_mb: int) -> gr.HTML:
    """The drop zone. Its value is a dict (see `picked`) or None; `upload` events carry `path` and `name`."""
    return gr.HTML(
        value=None,
        html_template=(_ASSETS / "picker.html").read_text("utf-8"),
        js_on_load=(_ASSETS / "picker.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="photo-picker",
        accept=_ACCEPT,
        max_upload_mb=max_upload_mb,
        title=text.PICKER_TITLE,
        hint=text.PICKER_HINT,
        formats=text.PICKER_FORMATS.format(max_upload_mb=max_upload_mb),
        change=text.PICKER_CHANGE,
        text_uploading=text.PICKER_UPLOADING,
        text_reading=text.PICKER_READING,
        text_too_large=text.PICKER_TOO_LARGE,
        text_failed=text.PICKER_FAILED,
        text_one=text.PICKER_ONE,
    )


def picked(name: str, caption: str, preview: str, **source: str) -> dict[str, Any]:
    """The picker's value for a photo: what it shows, and in `source` where the page finds the file again."""
    return {
        "name": name,
        "caption": caption,
        "preview": preview,
        "alt": text.PICKER_ALT.format(name=name),
        "error": "",
        **source,
    }


def refused(message: str) -> dict[str, Any]:
    """The picker's value without a photo, and with an error below."""
    return {"error": message}


def example_gallery(examples: Sequence[Example]) -> gr.HTML:
    """Thumbnails to click; `select` events carry the example's `key`."""
    buttons = "".join(
        f'<button type="button" data-example="{html.escape(example.key)}" '
        f'aria-label="{html.escape(text.EXAMPLE_USE.format(title=example.title))}">'
        f'<img src="{example.thumbnail}" alt="" loading="lazy"><span>{html.escape(example.title)}</span></button>'
        for example in examples
    )
    return gr.HTML(
        value=f'<h3>{text.EXAMPLES_TITLE}</h3><div class="hub-examples">{buttons}</div>',
        js_on_load=_CHOOSE_EXAMPLE,
        apply_default_css=False,
        elem_id="photo-examples",
    )
