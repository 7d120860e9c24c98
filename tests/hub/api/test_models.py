from __future__ import annotations

from fastapi.testclient import TestClient


def test_controls(client: TestClient) -> None:
    answer = client.get("/api/available_controls")

    assert answer.status_code == 200
    controls = answer.json()
    assert controls["tasks"]["denoise"]["display_name"] == "Denoise"
    assert controls["tasks"]["deblur"]["display_name"] == "Deblur"
    models = {model["value"]: model for model in controls["tasks"]["denoise"]["models"]}
    assert models["denoise_16"]["installed"] is True
    assert models["denoise_16"]["default"] is True
    assert models["denoise_b"]["installed"] is False
    assert all(model["text"] for model in models.values())
    assert {model["value"] for model in controls["tasks"]["deblur"]["models"]} >= {"deblur_b"}
    assert controls["page_controls"]["image"]["patch_processing"] == {"available": True, "default_checked": True}
    assert set(controls["page_controls"]) == {"live", "image", "video"}
