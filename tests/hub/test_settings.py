"""Settings that cannot work together are refused before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.errors import InvalidInput
from hub.keys import digest_of
from hub.parts import restore_limits
from hub.restoration import RestoreLimits
from hub.settings import CHECKOUT, Settings, read_settings
from uformer.devices import Extents


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HUB_TILE": "200"}, "HUB_TILE must be a multiple of 128, not 200"),
        ({"HUB_TILE": "128", "HUB_OVERLAP": "96"}, "must be at most half a tile, 64 pixels"),
        ({"HUB_TILE_MEGAPIXELS": "0.1", "HUB_OVERLAP": "160"}, "must be at most half a tile, 128 pixels"),
        ({"HUB_WHOLE_MEGAPIXELS": "0.05", "HUB_OVERLAP": "96"}, "must be at most half a tile, 64 pixels"),
        ({"HUB_PORT": "70000"}, "HUB_PORT"),
        ({"HUB_FETCH_URLS": "not json"}, "JSON"),
        ({"HUB_API_KEYS": ","}, "HUB_API_KEYS: there is no key in it"),
        ({"HUB_API_KEYS": "[]"}, "HUB_API_KEYS: there is no key in it"),
        ({"HUB_OPERATOR_KEYS": " "}, "HUB_OPERATOR_KEYS: there is no key in it"),
        ({"HUB_API_KEYS": "one-that-is-right,too-short"}, "at least 16 characters"),
        *(
            ({"HUB_API_KEYS": json.dumps([key])}, "a key consists of letters")
            for key in (
                "a key with its spaces",
                "a-key-très-secrète",
                "alice's-very-own-key",
                "a=in-the-middle-of-it",
                "three-at-the-end===",
            )
        ),
    ],
)
def test_what_cannot_work_is_named(environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=message):
        read_settings()


def test_keys_are_asked_for_where_some_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_API_KEYS", "")
    monkeypatch.setenv("HUB_OPERATOR_KEYS", "base64+of/bytes/with/its/end==, another-._~key-of:16")

    settings = read_settings()

    assert settings.api_keys == []
    assert settings.operator_keys == [
        digest_of(key) for key in ("base64+of/bytes/with/its/end==", "another-._~key-of:16")
    ]


def test_results_go_beside_the_data_once_that_is_moved(tmp_path: Path) -> None:
    assert Settings().resolved_results_dir == CHECKOUT / "static_results"
    assert Settings(data_dir=tmp_path).resolved_results_dir == tmp_path / "static_results"
    assert Settings(data_dir=tmp_path, results_dir=tmp_path / "r").resolved_results_dir == tmp_path / "r"


def test_graphs_lie_with_the_data_unless_they_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUB_GRAPHS_DIR")
    assert Settings(data_dir=tmp_path).resolved_graphs_dir == tmp_path / "cache"
    monkeypatch.setenv("HUB_GRAPHS_DIR", str(tmp_path / "shared"))
    assert Settings(data_dir=tmp_path).resolved_graphs_dir == tmp_path / "shared"


def test_tiles_are_as_large_as_the_device_likes_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    suitable = Extents(3_000_000, 3_500_000)
    monkeypatch.setattr("hub.parts.suitable_extents", lambda device: suitable if device == "cuda" else None)
    assert restore_limits(Settings(device="cuda")) == RestoreLimits(3_000_000, 3_500_000)
    told = Settings(device="cuda", tile_megapixels=0.2, whole_megapixels=0.5)
    assert restore_limits(told) == RestoreLimits(200_000, 500_000)
    # A tile that may be chosen allows more overlap than the default.
    assert Settings(tile_megapixels=1.2, overlap=480).overlap == 480


def test_the_limits_of_a_device_that_is_not_there() -> None:
    with pytest.raises(InvalidInput, match="no device 'cuda:99'"):
        restore_limits(Settings(device="cuda:99"))
