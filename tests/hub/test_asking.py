from __future__ import annotations

import threading

import pytest

from hub.asking import Asker, NoAnswer


def test_the_answer() -> None:
    answers = iter([1, 2])
    asker = Asker(lambda: next(answers))

    assert [asker.ask(10), asker.ask(10)] == [1, 2]


def test_what_the_question_raises() -> None:
    asker = Asker(lambda: int("x"))

    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            asker.ask(10)


def test_who_asks_waits_no_longer_than_it_wants_and_shares_the_call() -> None:
    asked: list[int] = []
    answer = threading.Event()

    def question() -> str:
        asked.append(1)
        assert answer.wait(30)
        return "at last"

    asker = Asker(question)
    for _ in range(3):
        with pytest.raises(NoAnswer):
            asker.ask(0.02)
    assert len(asked) == 1

    answer.set()

    assert asker.begin().answer(10) == "at last"
