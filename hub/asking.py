"""Asking something that may not answer: a database that is locked, a disk that is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class NoAnswer(Exception):
    """Nothing came in time."""


class Asker(Generic[T]):
    """Calls `question` in a thread of its own, so that whoever asks waits no longer than it wants to.

    There is one call at a time: who asks while it goes on waits for its answer, rather than for another thread.
    """

    def __init__(self, question: Callable[[], T]) -> None:
        self._question = question
        self._lock = threading.Lock()
        self._call: Call[T] | None = None

    def begin(self) -> Call[T]:
        """Ask, unless somebody has asked and waits still."""
        with self._lock:
            if self._call is None or self._call.ended:
                self._call = Call(self._question)
            return self._call

    def ask(self, seconds: float) -> T:
        """The answer. Raises NoAnswer if it takes longer than `seconds`, and what the question raises."""
        return self.begin().answer(seconds)


class Call(Generic[T]):
    """One call, going on or ended."""

    def __init__(self, question: Callable[[], T]) -> None:
        self._ended = threading.Event()
        self._answers: list[T] = []
        self._error: Exception | None = None
        threading.Thread(target=self._make, args=(question,), name="asking", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether there is an answer, or an error."""
        return self._ended.is_set()

    def answer(self, seconds: float) -> T:
        """The answer. Raises NoAnswer if it takes longer than `seconds` from now, and what the question raises."""
        if not self._ended.wait(seconds):
            raise NoAnswer
        if self._error is not None:
            raise self._error
        return self._answers[0]

    def _make(self, question: Callable[[], T]) -> None:
        try:
            self._answers.append(question())
        except Exception as error:  # noqa: BLE001 - goes to everyone who asked
            self._error = error
        finally:
            self._ended.set()
