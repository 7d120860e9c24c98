"""Settings that cannot work together are refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.errors import InvalidInput
from hub.settings import CHECKOUT, Settings, read_settings


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HUB_TILE": "200"}, "HUB_TILE must be a multiple of 128, not 200"),
        ({"HUB_TILE": "128", "HUB_OVERLAP": "96"}, "must be at most half a tile, 64 pixels"),
        ({"HUB_TILE_MEGAPIXELS": "0.1", "HUB_OVERLAP": "160"}, "must be at most half a tile, 128 pixels"),
        ({"HUB_WHOLE_MEGAPIXELS": "0.05", "HUB_OVERLAP": "96"}, "must be at most half a tile, 64 pixels"),
        ({"HUB_PORT": "70000"}, "HUB_PORT"),
        ({"HUB_FETCH_URLS": "not json"}, "JSON"),
    ],
)
def test_what_cannot_work_is_named(environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=message):
        read_settings()


def test_results_go_beside_the_data_once_that_is_moved(tmp_path: Path) -> None:
    assert Settings().resolved_results_dir == CHECKOUT / "static_results"
    assert Settings(data_dir=tmp_path).resolved_results_dir == tmp_path / "static_results"
    assert Settings(data_dir=tmp_path, results_dir=tmp_path / "r").resolved_results_dir == tmp_path / "r"
