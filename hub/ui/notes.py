"""What the hub notes about a result, in the visitor's language.

The English words of `note_…` are those that the hub says to programs, so they are the key to all others: a note that
is new there is shown in English until it has words here.
"""

from __future__ import annotations

import re

from hub.ui.language import ENGLISH, language, say, translated
from hub.ui.measures import decimal

_NUMBER = re.compile(r"-?\d+\.\d+")
_LIST = re.compile(r"(?P<first>.+) and (?P<last>\w+)")
_STREAM = re.compile(r"[Tt]he \w+ stream .+")


def note_words(note: str) -> str:
    """A note in the current language."""
    return note if language() == ENGLISH else translated(note, "note_", _field)


def _field(words: str) -> str:
    """What stands in a note's gap: a number, formats, a stream of the clip, why it was left out."""
    if _NUMBER.fullmatch(words):
        return decimal(words)
    if found := _LIST.fullmatch(words):
        return say("listed", **found.groupdict())
    if _STREAM.fullmatch(words):
        return translated(words[0].upper() + words[1:], "stream_")
    return translated(words, "reason_")
