from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import isgeneratorfunction
from pathlib import Path

import pytest

from hub.ui import language
from hub.ui.language import choose, known, languages, say, speaking, spoken

UI = Path(language.__file__).parent
WORDS = {code: json.loads((UI / "locales" / f"{code}.json").read_text("utf-8")) for code in languages()}
# Keys that are put together from parts: the beginnings of their names.
FAMILIES = (
    "codec_",
    "example_",
    "error_",
    "task_",
    "state_",
    "model_name_",
    "model_good_",
    "model_limits_",
    "model_source_",
    "precision_",
    "note_",
    "reason_",
    "stream_",
    "step_",
)


def fields(words: str) -> set[str]:
    """The names in braces."""
    return {name for _, name, _, _ in string.Formatter().parse(words) if name is not None}


def test_every_word_that_is_said_is_known_and_every_known_one_is_said() -> None:
    sources = "".join(path.read_text("utf-8") for path in (*UI.glob("*.py"), *(UI / "assets").iterdir()))
    named = set(re.findall(r"""["']([a-z][a-z0-9_]+)["']""", sources)) | set(re.findall(r"\{\{(\w+)\}\}", sources))
    said = set(re.findall(r"""\bsay\(\s*["'](\w+)["']""", sources))

    assert said - WORDS["en"].keys() == set()
    assert {key for key in WORDS["en"] if not key.startswith(FAMILIES)} - named == set()


@pytest.mark.parametrize("code", languages()[1:])
def test_translations_are_complete_and_hold_the_same_fields(code: str) -> None:
    assert WORDS[code].keys() == WORDS["en"].keys()
    assert [key for key, words in WORDS["en"].items() if fields(words) != fields(WORDS[code][key])] == []
    assert [key for key, words in WORDS[code].items() if not words.strip()] == []


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        (None, "en"),
        ("", "en"),
        ("*", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("tlh, en;q=0.1", "en"),
        ("en;q=nonsense", "en"),
        ("de-AT, en;q=0.8", "de"),
        ("en; q=0.5, fr ; q=0.9, es;q=0", "fr"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh"),
    ],
)
def test_the_browser_chooses(accepted: str | None, code: str) -> None:
    assert choose(accepted) == code


def test_a_missing_key_is_a_defect() -> None:
    assert not known("no_such_key")
    with pytest.raises(KeyError):
        say("no_such_key")


def test_handlers_speak_their_pages_language_in_whatever_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"en": {"a": "one {n}", "b": "other"}, "xx": {"a": "eins {n}"}}
    monkeypatch.setattr(language, "_words", words.__getitem__)
    with speaking("xx"):
        handler = spoken(lambda: (say("a", n=1), say("b"), language.language()))

    assert say("a", n=1) == "one 1"
    with ThreadPoolExecutor() as threads:
        assert threads.submit(handler).result() == ("eins 1", "other", "xx")
    assert handler.__name__ == "<lambda>"


def test_so_do_handlers_that_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_words", {"en": {"a": "one"}, "xx": {"a": "eins"}}.__getitem__)

    def steps(first: str) -> Iterator[str]:
        yield first
        yield say("a")

    with speaking("xx"):
        handler = spoken(steps)

    assert isgeneratorfunction(handler)
    assert [(step, say("a")) for step in handler("null")] == [("null", "one"), ("eins", "one")]
