from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.filenames import MAX_NAME_BYTES, clean_name, plain_name


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("image.jpg", "image.jpg"),
        ("My holiday (1).JPG", "My_holiday_1.JPG"),
        ("C:\\photos\\été.png", "été.png"),
        ("../../etc/passwd", "passwd"),
        ("写真.webp", "写真.webp"),
        ("a%2e%2e.png", "a_2e_2e.png"),
        ("a\x00b\n.png", "ab.png"),
        ("\u202egpj.exe", "gpj.exe"),
        ("..hidden..jpg", "hidden.jpg"),
        ("???", "file"),
        ("", "file"),
    ],
)
def test_clean_name(given_name: str, expected: str) -> None:
    assert clean_name(given_name) == expected


def test_a_long_name_keeps_its_suffix() -> None:
    name = clean_name("写" * 300 + ".tiff")
    assert name.endswith("写.tiff")
    assert len(name.encode()) <= MAX_NAME_BYTES


def test_a_suffix_too_long_to_be_one_is_cut_like_the_rest() -> None:
    assert clean_name("a." + "b" * 300) == ("a." + "b" * 300)[:MAX_NAME_BYTES]


def test_plain_name_keeps_what_people_typed() -> None:
    assert plain_name("/photos/My holiday (1), é.JPG\n") == "My holiday (1), é.JPG"


@given(st.text(st.characters(), max_size=400))
def test_any_name_becomes_safe(given_name: str) -> None:
    name = clean_name(given_name)
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert not name.startswith(".")
    assert ".." not in name
    assert not re.search(r"[\x00-\x20/\\:%?#*\"<>|&+]", name)
    assert all(unicodedata.category(character)[0] != "C" for character in name)
    assert clean_name(name) == name
