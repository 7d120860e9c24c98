from __future__ import annotations

import pytest

from hub.ui.language import speaking
from hub.ui.measures import duration, file_size, length


@pytest.mark.parametrize(
    ("code", "words"), [("de", ["5,3 MB", "1,5 s", "2 h 1 min"]), ("ja", ["5.3 MB", "1.5 秒", "2 時間 1 分"])]
)
def test_measures_are_written_as_the_language_does(code: str, words: list[str]) -> None:
    with speaking(code):
        assert [file_size(5_300_000), length(1.5), duration(7260)] == words
