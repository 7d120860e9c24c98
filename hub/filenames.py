"""Strangers' file names, made fit to be read and to be stored."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME_BYTES = 120  # With all else in a result's name this stays below the usual limit of 255.
MAX_SUFFIX_BYTES = 16
MAX_PLAIN_CHARACTERS = 200


def plain_name(filename: str) -> str:
    """The name for people to read: no folders, no control or invisible characters, not endless."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", filename)[-1])
    stem, suffix = _split("".join(character for character in name if character.isprintable()).strip())
    return stem[:MAX_PLAIN_CHARACTERS] + suffix or "file"


def clean_name(filename: str) -> str:
    """The name for a disk and a URL: letters and digits of any script, `.`, `-` and `_`, bounded in UTF-8 bytes.

    The suffix survives the cut. ASCII names need no percent-encoding afterwards.
    """
    name = "".join(character if _is_kept(character) else "_" for character in plain_name(filename))
    stem, suffix = _split(re.sub(r"_{2,}", "_", re.sub(r"\.{2,}", ".", name)).strip("._-"))
    room = MAX_NAME_BYTES - len(suffix.encode())
    return (stem.encode()[:room].decode(errors="ignore").strip("._-") or "file") + suffix


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if dot and len(suffix.encode()) < MAX_SUFFIX_BYTES else (name, "")


def _is_kept(character: str) -> bool:
    category = unicodedata.category(character)
    return character in ".-_" or category[0] in "LMN" or category == "So"
