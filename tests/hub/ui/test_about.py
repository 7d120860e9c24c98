from __future__ import annotations

import html

from hub.service import VERSION, Hub
from hub.ui.about import about
from hub.ui.language import known, say, speaking


def test_every_model_of_the_hub_is_described(hub: Hub) -> None:
    sheet = html.unescape(about(hub))

    for entry in hub.catalog.models():
        for key in ("model_name", "model_good", "model_limits", "model_source"):
            assert known(f"{key}_{entry.name}")
            assert say(f"{key}_{entry.name}") in sheet
    assert f"Uformer Hub {VERSION}" in sheet
    assert 'href="docs"' in sheet, "Relative, so that it holds below a sub-path."


def test_the_shipped_names_are_those_of_the_manifest(hub: Hub) -> None:
    with speaking("en"):
        for entry in hub.catalog.models():
            assert say(f"model_name_{entry.name}") == entry.text
            assert say(f"model_good_{entry.name}") == entry.description
