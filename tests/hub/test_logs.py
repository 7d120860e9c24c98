from __future__ import annotations

import json
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextvars import copy_context
from logging.config import dictConfig

import pytest
from uvicorn.config import LOGGING_CONFIG

from hub.keys import digest_of
from hub.logs import redact, set_up, task_context
from hub.settings import Settings

KEY = "correct-horse-battery-staple"
PADDED = "YSBrZXkgb2YgMTYgYnl0ZXM=="
SECRET = "0123456789abcdef01234567"


Written = Callable[[], str]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """What was written to stderr since it was asked last; logging is afterwards as it was."""
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    threading.excepthook = hook


def lines(written: Written) -> list[dict[str, object]]:
    return [json.loads(line) for line in written().splitlines()]


def fail(words: str) -> None:
    raise ValueError(words)


def test_text_lines_tell_time_level_logger_task_and_message(written: Written) -> None:
    set_up(Settings())

    logging.getLogger("hub.test").info("before %d", 1)
    with task_context("a1b2"):
        logging.getLogger("hub.test").warning("within")
    logging.getLogger("hub.test").debug("not asked for")

    first, second = written().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO hub\.test: before 1", first)
    assert second.endswith("Z WARNING hub.test [a1b2]: within")


def test_json_lines_hold_the_same_and_what_was_raised(written: Written) -> None:
    set_up(Settings(log_format="json"))

    try:
        fail("over\nhere")
    except ValueError:
        with task_context("a1b2"):
            logging.getLogger("hub.test").exception("Odd: %s", "\x1b[2J", extra={"color_message": "red"})

    (line,) = lines(written)
    assert {name: line[name] for name in ("level", "logger", "message", "task_id")} == {
        "level": "ERROR",
        "logger": "hub.test",
        "message": "Odd: \x1b[2J",
        "task_id": "a1b2",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", str(line["timestamp"]))
    assert str(line["exc_info"]).endswith("ValueError: over\nhere")
    assert "color_message" not in line


def test_a_terminal_is_not_told_to_do_anything(written: Written) -> None:
    set_up(Settings())

    logging.getLogger("hub.test").info("a\x1b[2Jb\rc\x9bd\te")

    assert written().endswith(": a?[2Jb?c?d\te\n")


def test_threads_that_inherit_the_context_carry_the_task(written: Written) -> None:
    set_up(Settings(log_format="json"))
    log = logging.getLogger("hub.test")

    with task_context("a1b2"):
        for target, arguments in ((copy_context().run, (log.info, "child")), (log.info, ("stranger",))):
            thread = threading.Thread(target=target, args=arguments)
            thread.start()
            thread.join()
        with task_context("c3d4"):
            log.info("inner")
        log.info("outer")
    log.info("after")

    assert [(line["message"], line["task_id"]) for line in lines(written)] == [
        ("child", "a1b2"),
        ("stranger", None),
        ("inner", "c3d4"),
        ("outer", "a1b2"),
        ("after", None),
    ]


def test_warnings_and_ends_of_threads_go_the_same_way(written: Written) -> None:
    set_up(Settings(log_format="json"))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old way", stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0, name="careless")
    thread.start()
    thread.join()

    warned, ended = lines(written)
    assert "old way" in str(warned["message"])
    assert ended["message"] == "The thread careless ended."
    assert "ZeroDivisionError" in str(ended["exc_info"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f'GET "/static_results/images/denoise/processed/1_a1b2c3d4_{SECRET}_enhanced_me.png" 200',
            'GET "/static_results/images/denoise/processed/1_a1b2c3d4_***_enhanced_me.png" 200',
        ),
        (
            f"?result_path=%2F1_a1b2c3d4_{SECRET.upper()}%5Fenhanced_me.png",
            "?result_path=%2F1_a1b2c3d4_***%5Fenhanced_me.png",
        ),
        (f"[parameters: ('a1b2', '{SECRET}')]", "[parameters: ('a1b2', '***')]"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("{'authorization': 'Basic YTpi'}", "{'authorization': 'Basic ***'}"),
        ("(b'authorization', b'Bearer abc')", "(b'authorization', b'Bearer ***')"),
        ("X-API-Key: abcdef", "X-API-Key: ***"),
        ('{"api_key": "abcdef"}', '{"api_key": "***"}'),
        ("/ws?api_key=abcdef&x=1", "/ws?api_key=***&x=1"),
        ("HUB_API_KEYS=abcdef", "HUB_API_KEYS=***"),
        ("postgresql://me:geheim@host/db", "postgresql://me:***@host/db"),
        ("at http://127.0.0.1:8000/health", "at http://127.0.0.1:8000/health"),
        ("task 1b4e28ba-2fa1-41d2-883f-0016d3cca427", "task 1b4e28ba-2fa1-41d2-883f-0016d3cca427"),
        (f"sha256:{'0123456789abcdef' * 4}", f"sha256:{'0123456789abcdef' * 4}"),
        (f"sent {KEY}, twice: '{KEY}'", "sent ***, twice: '***'"),
        (f"/ws?key={KEY}&x=1", "/ws?key=***&x=1"),
        (f"/ws?key={PADDED}&x={PADDED}", "/ws?key=***&x=***"),
        (f"a_name_of_16_letters={KEY}", "a_name_of_16_letters=***"),
        (f"{KEY}=1", "***=1"),
    ],
)
def test_secrets_are_taken_out(text: str, expected: str) -> None:
    assert redact(text, {digest_of(KEY), digest_of(PADDED)}) == expected


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_taken_out_wherever_they_stand(written: Written, log_format: str) -> None:
    dictConfig(LOGGING_CONFIG)  # as the server does when it is not told otherwise
    set_up(Settings(log_format=log_format, api_keys=[KEY]))

    try:
        fail(f"no such file: {SECRET}_enhanced_a.png")
    except ValueError:
        logging.getLogger("uvicorn.access").exception(
            '%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", f"/1_a1b2c3d4_{SECRET}_enhanced_a.png?k={KEY}", "1.1", 200
        )

    text = written()
    assert text.count("***_enhanced_a.png") == 2
    assert SECRET not in text
    assert KEY not in text
    if log_format == "json":
        assert json.loads(text)["level"] == "ERROR"
