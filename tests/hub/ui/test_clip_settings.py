from __future__ import annotations

import pytest

from hub.errors import InvalidInput
from hub.service import CODECS
from hub.ui.clip_settings import seconds_of, suggest_temporal
from hub.ui.language import known
from hub.ui.measures import codec_name


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("", None),
        (None, None),
        ("  ", None),
        ("83.5", 83.5),
        ("83,5", 83.5),
        (7, 7.0),
        ("1:23.5", 83.5),
        ("1:00:00", 3600),
    ],
)
def test_times_as_people_write_them(words: object, seconds: float | None) -> None:
    assert seconds_of(words) == seconds


@pytest.mark.parametrize("words", ["soon", "1:", ":5", "1:2:3:4", "nan", "inf", "1e5", "--1", "٣"])
def test_what_is_no_time_is_refused(words: str) -> None:
    with pytest.raises(InvalidInput, match="is not a time") as caught:
        seconds_of(words)
    assert words in caught.value.message


def test_every_codec_has_a_name_for_people() -> None:
    assert all(known(f"codec_{codec}") and codec_name(codec) for codec in CODECS)


def test_smoothing_over_time_is_suggested_where_it_helps() -> None:
    assert suggest_temporal("denoise")
    assert not suggest_temporal("deblur")
