from __future__ import annotations

from pathlib import Path

import pytest

from hub.cli.settings import describe, shown
from hub.settings import Settings


def test_every_setting_is_listed_with_its_value_default_and_meaning() -> None:
    text = describe(Settings(port=9000))
    for name, field in Settings.model_fields.items():
        assert f"HUB_{name.upper()}=" in text
        assert field.description
        assert field.description in text
    assert "HUB_PORT=9000\n    Port to listen on. [default: 8000]\n" in text


def test_defaults_that_are_worked_out_are_shown(tmp_path: Path) -> None:
    text = describe(Settings(data_dir=tmp_path))
    assert f"HUB_RESULTS_DIR={tmp_path / 'static_results'}\n" in text
    assert f"HUB_DATABASE_URL=sqlite:///{tmp_path / 'hub.sqlite3'}\n" in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (True, "true"),
        (0.6, "0.6"),
        (["http://a", "http://b"], '["http://a", "http://b"]'),
        (Path("/data"), "/data"),
        ("postgresql://hub:secret@db/hub", "postgresql://hub:***@db/hub"),
        (["https://user:secret@mirror/x"], '["https://user:***@mirror/x"]'),
    ],
)
def test_values_look_as_in_the_environment_but_passwords_are_hidden(value: object, expected: str) -> None:
    assert shown(value) == expected
