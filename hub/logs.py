"""Logging: one handler for everything, the task's id in each of its lines, and no secrets in any."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from hub.keys import WORD, digest_of

if TYPE_CHECKING:
    from hub.settings import Settings

HIDDEN = "***"

_TASK: ContextVar[str | None] = ContextVar("task", default=None)
_FIELDS = {"levelname": "level", "name": "logger", "message": "message", "task_id": "task_id"}
# Control characters other than tab and line feed: a terminal that shows the log would obey them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # The random part of a result's name, which is the permission to read it, and the same as a value by itself.
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{24}(?![0-9a-f])", re.IGNORECASE), HIDDEN),
    (re.compile(r"(://[^\s:/@\"']*):[^\s@/\"']*@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(authorization\W{1,8}(?:b['\"])?(?:\w+\s+)?)[^\s\"',;\\)]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(\bbearer\s+)[^\s\"',;\\)]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(r"((?:api|operator)[-_]?keys?\b[^\w\s]{0,6}\s*[^\w\s]{0,6})[^\s\"'&,;\\)]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
)


def set_up(settings: Settings) -> None:
    """Send everything that is logged, also by the server and by Python's warnings, through one handler to stderr."""
    digests = {*settings.api_keys, *settings.operator_keys}
    formatter = _text_formatter() if settings.log_format == "text" else _json_formatter()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_task)
    handler.setFormatter(_Redacting(formatter, digests))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    # The server's own loggers may have been given handlers before, which print what they get as it is.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(True)
    threading.excepthook = _log_uncaught
    # One line for each request that the hub itself sends, with the whole address, says nothing of use.
    for name in ("httpx", "httpx2", "httpcore"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


@contextmanager
def task_context(job_id: str) -> Iterator[None]:
    """Put the task's id into every line that is logged meanwhile, by this thread or coroutine.

    Threads do not inherit it: start one with `copy_context().run` as its target.
    """
    token = _TASK.set(job_id)
    try:
        yield
    finally:
        _TASK.reset(token)


def redact(text: str, digests: Collection[str] = ()) -> str:
    """The text without what nobody who reads a log may learn.

    That is the random part of results' names, API keys, what an Authorization header holds, and passwords in URLs.
    digests: `sha256:` and the hexadecimal digits, of keys that are recognised wherever they stand as a word.
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    if digests:
        text = WORD.sub(lambda word: _hide_key(word[0], digests), text)
    return text


class _Redacting(logging.Formatter):
    """Another formatter, with the secrets taken out of what it made: messages, tracebacks and extras alike."""

    def __init__(self, inner: logging.Formatter, digests: Collection[str]) -> None:
        super().__init__()
        self._inner = inner
        self._digests = digests

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._inner.format(record), self._digests)


class _Text(logging.Formatter):
    """`2026-11-23T08:17:21.123Z INFO hub.jobs.run [task's id]: message`, and the traceback below."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub("?", super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        task = getattr(record, "task_id", None)
        marked = f" [{task}]" if task else ""
        return f"{record.asctime} {record.levelname} {record.name}{marked}: {record.message}"


def _text_formatter() -> logging.Formatter:
    return _Text("%(asctime)s %(message)s")


def _json_formatter() -> logging.Formatter:
    from pythonjsonlogger.core import RESERVED_ATTRS
    from pythonjsonlogger.json import JsonFormatter

    # The server's colours are for terminals.
    return JsonFormatter(
        [*_FIELDS], rename_fields=_FIELDS, timestamp=True, reserved_attrs=[*RESERVED_ATTRS, "color_message", "taskName"]
    )


def _add_task(record: logging.LogRecord) -> bool:
    """A handler's filter: it runs in the thread that logs."""
    record.task_id = _TASK.get()
    return True


def _hide_key(word: str, digests: Collection[str]) -> str:
    """The word, unless it is a key, with the = at its end or without."""
    bare = word.rstrip("=")
    if digest_of(word) in digests:
        return HIDDEN
    return HIDDEN + word[len(bare) :] if digest_of(bare) in digests else word


def _log_uncaught(failure: threading.ExceptHookArgs) -> None:
    """What ends a thread goes where everything goes; SystemExit is an end like any other."""
    if failure.exc_type is not SystemExit and failure.exc_value is not None:
        name = failure.thread.name if failure.thread else "?"
        logging.getLogger(__name__).error("The thread %s ended.", name, exc_info=failure.exc_value)
