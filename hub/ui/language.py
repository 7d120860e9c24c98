"""The page's words in the languages it speaks: `say("queued_position", position=3)`.

Each language is a JSON file in `locales/`, key to words. English is complete; what another lacks is said in English.
A page is built for one language, and its handlers run `speaking` it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from inspect import isgeneratorfunction
from pathlib import Path
from string import Formatter
from typing import Any

ENGLISH = "en"
_LOCALES = Path(__file__).parent / "locales"
_GAPS = {"done": r"\d+", "total": r"\d+"}
"""What a gap of that name holds; others hold any words."""
_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


def say(key: str, **values: object) -> str:
    """The words of a key in the current language, `{name}` in them replaced by `values`; as they are without any.

    Raises KeyError for a key that English lacks.
    """
    words = _words(_current.get()).get(key)
    if words is None:
        words = _words(ENGLISH)[key]
    return words.format(**values) if values else words


def known(key: str) -> bool:
    """Whether there are words of that key, as for an error's code that visitors may meet."""
    return key in _words(ENGLISH)


def translated(english: str, prefix: str, field: Callable[[str], str] = str) -> str:
    """What the hub says in English, in the current language; as it is where no key that begins so says it.

    field: says what stands in the place of a `{name}` in the current language.
    """
    for key, pattern in _patterns(prefix):
        if found := pattern.fullmatch(english):
            return say(key, **{name: field(words) for name, words in found.groupdict().items()})
    return english


def language() -> str:
    """The current language: a BCP 47 code, for the page's `lang`."""
    return _current.get()


@cache
def languages() -> tuple[str, ...]:
    """The codes of all languages, English first."""
    others = sorted(path.stem for path in _LOCALES.glob("*.json") if path.stem != ENGLISH)
    return (ENGLISH, *others)


def choose(accepted: str | None) -> str:
    """The language that suits a browser best. accepted: its Accept-Language header (RFC 9110, 12.5.4)."""
    wishes = []
    for place, part in enumerate((accepted or "").split(",")):
        tag, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        wishes.append((-weight, place, tag.partition("-")[0].strip().lower()))
    for weight, _, tag in sorted(wishes):
        if weight < 0 and tag in languages():
            return tag
    return ENGLISH


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Let `say` speak one of `languages`."""
    token = _current.set(code)
    try:
        yield
    finally:
        _current.reset(token)


def spoken(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, or generator function, speaking what is current now in whatever thread it is called."""
    code = language()

    @wraps(function)
    def speak(*arguments: Any, **named: Any) -> Any:
        with speaking(code):
            return function(*arguments, **named)

    @wraps(function)
    def speak_on(*arguments: Any, **named: Any) -> Iterator[Any]:
        steps = iter(function(*arguments, **named))
        while True:
            with speaking(code):  # Each step may be asked for by another thread.
                try:
                    step = next(steps)
                except StopIteration:
                    return
            yield step

    return speak_on if isgeneratorfunction(function) else speak


@cache
def _patterns(prefix: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """What matches the English words of each key that begins so; those with most words of their own come first."""
    found = []
    for key, words in _words(ENGLISH).items():
        if key.startswith(prefix):
            parts = list(Formatter().parse(words))
            pattern = "".join(
                re.escape(text) + ("" if name is None else rf"(?P<{name}>{_GAPS.get(name, '.+?')})")
                for text, name, _, _ in parts
            )
            found.append((sum(len(text) for text, *_ in parts), key, re.compile(pattern)))
    return tuple((key, pattern) for _, key, pattern in sorted(found, key=lambda each: -each[0]))


@cache
def _words(code: str) -> Mapping[str, str]:
    words: dict[str, str] = json.loads((_LOCALES / f"{code}.json").read_text("utf-8"))
    return words
