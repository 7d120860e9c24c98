"""Server-sent events out of a stream of bytes."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from typing import Any

# CR LF, LF, or a CR alone, which must not be the last character: an LF may follow that belongs to it.
_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")


class Events:
    """Parses a stream as its bytes come in.

    last_id: of the last event that had one; sent as Last-Event-ID to go on after a break.
    """

    def __init__(self) -> None:
        self.last_id: str | None = None
        self.restart()

    def restart(self) -> None:
        """A new stream begins; an event that the old one left unfinished is dropped."""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Any]:
        """The JSON values of the events that `chunk` completes; events with other data are passed over."""
        self._text += self._decoder.decode(chunk)
        found = []
        while end := _LINE_END.search(self._text):
            line, self._text = self._text[: end.start()], self._text[end.end() :]
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._data.append(value)
            elif name == "id" and "\0" not in value:
                self.last_id = value or None
            elif not line:
                # An event without JSON is not of the hub's; the next one, or a poll, tells what it might have.
                with contextlib.suppress(ValueError):
                    found.append(json.loads("\n".join(self._data)))
                self._data = []
        return found
