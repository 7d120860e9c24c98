from __future__ import annotations

from string import Formatter

import pytest

from hub.ui.language import languages, speaking
from hub.ui.picker import clip_picker, photo_picker


@pytest.mark.parametrize("language", languages())
def test_refusals_say_only_what_the_script_can_fill_in(language: str) -> None:
    with speaking(language):
        pickers = [photo_picker(512), clip_picker(512)]

    for picker in pickers:
        assert picker.props["language"] == language
        refusals = picker.props["refusals"]
        gaps = {name for words in refusals.values() for _, name, _, _ in Formatter().parse(words) if name}
        assert gaps == {"wait", "max_megabytes"}
        assert "{seconds}" in picker.props["text_seconds"]
        assert "{minutes}" in picker.props["text_minutes"]
