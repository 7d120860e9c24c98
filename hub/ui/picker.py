"""The pickers of photos and clips, and the example gallery: the page's own, on Gradio's HTML component.

Gradio's Image component opens what it is given with Pillow and shows it in the browser, which neither camera raw,
HEIC nor 16-bit files survive; its Video component re-encodes what the browser does not play; its File component cannot
be pasted into. Here the browser uploads the file's own bytes.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from hub.ui.examples import Example
from hub.ui.language import language, say
from hub.ui.selection import MOST, holding

_ASSETS = Path(__file__).parent / "assets"
# Besides image/*: types that browsers do not count as images. Naming HEIC keeps iOS from converting it to JPEG.
_PHOTOS = (
    "image/*,image/heic,image/heif,.heic,.heif,.avif,.tif,.tiff,.dng,.nef,.nrw,.cr2,.cr3,.crw,.arw,.srf,.sr2,.orf,"
    ".rw2,.raf,.pef,.srw,.3fr,.erf,.kdc,.mef,.mos,.mrw,.raw,.rwl,.x3f"
)
_CLIPS = (
    "video/*,.mp4,.m4v,.mov,.qt,.mkv,.webm,.avi,.mpg,.mpeg,.vob,.ts,.m2ts,.mts,.mxf,.wmv,.asf,.flv,.f4v,.3gp,.3g2,"
    ".ogv,.dv,.divx,.y4m,.nut,.hevc,.h264,.264,.265,.ivf,.gif"
)
_PHOTO_ICON = (
    '<rect x="5" y="9" width="38" height="30" rx="5"/><circle cx="16" cy="19" r="3.5"/>'
    '<path d="M6 35l11-10 8 7 7-6 10 9"/>'
)
_CLIP_ICON = (
    '<rect x="5" y="9" width="38" height="30" rx="5"/>'
    '<path d="M13 9v30M35 9v30M5 19h8M5 29h8M35 19h8M35 29h8M20 18v12l10-6z"/>'
)
_REFUSALS = ("disk_full", "internal_error", "request_timeout", "too_many_requests", "upload_too_large")
"""The codes of what the hub may answer to an upload, instead of taking it."""
_CHOOSE_EXAMPLE = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-example]");
  if (button) trigger("select", { key: button.dataset.example });
});
"""


@dataclass(frozen=True)
class _Words:
    title: str
    hint: str
    touch_title: str
    touch_hint: str
    formats: str
    reading: str


def photo_picker(max_upload_mb: int) -> gr.HTML:
    """The drop zone for photos, several of which may be chosen; see `_picker`.

    Its value is what `holding` returns. Beside `upload` it has the events `remove` (with the preview of a `photo`, or
    None for all) and `preview` (with the `left` and `top` of a part in the photo's pixels).
    """
    words = _Words(
        say("picker_title"),
        say("picker_hint"),
        say("picker_touch_title"),
        say("picker_touch_hint"),
        say("picker_formats"),
        say("picker_reading"),
    )
    return _picker(
        "photo-picker",
        words,
        _PHOTO_ICON,
        _PHOTOS,
        max_upload_mb,
        many=MOST,
        add=say("picker_add"),
        clear=say("picker_clear"),
        text_most=say("picker_most"),
        text_uploading_many=say("picker_uploading_many"),
        part_label=say("part_label"),
        part_hint=say("part_hint"),
        part_look=say("part_look"),
    )


def clip_picker(max_upload_mb: int) -> gr.HTML:
    """The drop zone for clips; see `_picker`."""
    words = _Words(
        say("clip_picker_title"),
        say("clip_picker_hint"),
        say("clip_picker_touch_title"),
        say("clip_picker_touch_hint"),
        say("clip_picker_formats"),
        say("clip_picker_reading"),
    )
    return _picker("video-picker", words, _CLIP_ICON, _CLIPS, max_upload_mb, many=0, text_one=say("clip_picker_one"))


def picked(name: str, caption: str, alt: str, picture: Path, **source: Any) -> dict[str, Any]:
    """The picker's value for a file: what it shows, and in `source` where the page finds the file again.

    alt: of its picture, a file in the page's cache; `{name}` in it stands for the file's name.
    What is shown is HTML: the component would run `${...}` in a name as code if it were inserted as text.
    """
    return {
        "name": name,
        "shown": html.escape(name),
        "caption": html.escape(caption),
        "alt": html.escape(alt.format(name=name)),
        "preview": f"gradio_api/file={picture}",
        "error": "",
        **source,
    }


def refused(message: str, answers: Any = None) -> dict[str, Any]:
    """The picker's value without a file, and with an error below; see `holding`."""
    return holding([], message, answers=answers)


def example_gallery(examples: Sequence[Example]) -> gr.HTML:
    """Thumbnails to click; `select` events carry the example's `key`."""
    buttons = "".join(
        f'<button type="button" data-example="{html.escape(example.key)}" '
        f'aria-label="{html.escape(say("example_use", title=say(example.title)))}">'
        f'<img src="{example.thumbnail}" alt="" loading="lazy"><span>{html.escape(say(example.title))}</span></button>'
        for example in examples
    )
    return gr.HTML(
        value=f'<h3>{say("examples_title")}</h3><div class="hub-examples">{buttons}</div>',
        js_on_load=_CHOOSE_EXAMPLE,
        apply_default_css=False,
        elem_id="photo-examples",
    )


def _picker(elem_id: str, words: _Words, icon: str, accept: str, max_upload_mb: int, **more: Any) -> gr.HTML:
    """A drop zone. Its value is a dict (see `picked`) or None.

    `upload` events carry `path` and `name`. They and `remove` carry the number that they are `asked` by: the browser
    waits for the value that `answers` it.

    more: `many`, how many files it takes (0: one alone, which each new one replaces), and the words that go with that.
    Of many, each `upload` also tells whether to `add` to what is there, and which is the `first` of those just chosen.
    """
    return gr.HTML(
        value=None,
        html_template=(_ASSETS / "picker.html").read_text("utf-8").replace("<!-- icon -->", icon),
        js_on_load="\n".join((_ASSETS / name).read_text("utf-8") for name in ("picker.js", "picker_part.js")),
        apply_default_css=False,
        elem_id=elem_id,
        accept=accept,
        max_upload_mb=max_upload_mb,
        title=words.title,
        hint=words.hint,
        touch_title=words.touch_title,
        touch_hint=words.touch_hint,
        formats=words.formats.format(max_upload_mb=max_upload_mb),
        change=say("picker_change"),
        text_uploading=say("picker_uploading"),
        text_reading=words.reading,
        text_too_large=say("picker_too_large"),
        text_failed=say("picker_failed"),
        text_then=say("picker_then"),
        text_seconds=say("seconds"),
        text_minutes=say("minutes"),
        refusals={code: say(f"error_{code}") for code in _REFUSALS},
        language=language(),
        run=elem_id.replace("-picker", "-run"),
        **more,
    )
