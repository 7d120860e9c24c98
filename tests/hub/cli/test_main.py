from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.cli.main import build_parser, main
from hub.settings import CHECKOUT


def test_help_names_the_commands_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from hub.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'torch', 'numpy', 'gradio', 'pydantic'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    for command in ("restore", "models", "fetch", "settings", "serve"):
        assert f"\n    {command} " in done.stdout


def test_settings_and_models_load_no_torch() -> None:
    code = (
        "import sys\n"
        "from hub.cli.main import main\n"
        "print(main(['settings']) + main(['models']), 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 False\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: COMMAND"),
        (["restore", "a.png"], "required: -o/--output"),
        (["restore", "a.png", "-o", "b.png", "--tile", "200"], "--tile: must be a multiple of 128"),
        (["restore", "a.png", "-o", "b.png", "--tile", "big"], "--tile: invalid"),
        (["restore", "a.png", "-o", "b.png", "--strength", "1.5"], "--strength: must be between 0 and 1, not 1.5"),
        (["restore", "a.png", "-o", "b.png", "--strength", "nan"], "--strength: must be between 0 and 1, not nan"),
        (["restore", "a.png", "-o", "b.png", "--overlap", "-1"], "--overlap: must be between 0 and 512, not -1"),
        (["restore", "a.png", "-o", "b.png", "--precision", "float16"], "--precision: invalid choice"),
        (["restore", "a.png", "-o", "b.png", "--model", "m", "--weights", "w"], "not allowed with argument"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("HUB_PORT", "http", "error: HUB_PORT: Input should be a valid integer"),
        ("HUB_TILE", "200", "error: HUB_TILE must be a multiple of 128, not 200."),
        ("HUB_FETCH_URLS", "http://mirror", "a list is written as JSON"),
    ],
)
def test_a_wrong_setting_is_explained(
    name: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["settings"]) == 2
    assert complaint in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "hub", "settings"], cwd=CHECKOUT, stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_serve_becomes_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append((program, arguments)))
    main(["serve"])
    assert started == [(sys.executable, [sys.executable, str(CHECKOUT / "app.py")])]
    assert Path(started[0][1][1]).is_file()


def test_numbers_are_read_as_what_they_are() -> None:
    line = ["restore", "a", "-o", "b", "--tile", "256", "--overlap", "32", "--strength", "0.5", "--quality", "80"]
    args = build_parser().parse_args(line)
    assert (args.tile, args.overlap, args.strength, args.quality) == (256, 32, 0.5, 80)
    assert isinstance(args.overlap, int)
