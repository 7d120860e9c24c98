from __future__ import annotations

import io
import sys

import pytest

from hub.cli.progress import PhotosBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_adds_up_the_photos_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    with PhotosBar(4) as bar:
        first, second = bar.reporter("a"), bar.reporter("b")
        first(0.5, "")
        second(0.25, "")
        first(1.0, "")
        bar.say("a remark")
    shown = terminal.getvalue()
    assert "a remark\n" in shown
    assert " 31%|" in shown.rpartition("a remark")[2]
    assert "1.2/4" in shown.rpartition("a remark")[2]


def test_without_a_terminal_there_are_only_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with PhotosBar(1) as bar:
        bar.reporter("a")(1.0, "")
        bar.say("a remark")
        bar.answer("a result")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("a result\n", "a remark\n")
