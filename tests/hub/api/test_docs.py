from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from fastapi.testclient import TestClient

OpenClient = Callable[..., AbstractContextManager[TestClient]]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_pages_load_nothing_from_elsewhere(client: TestClient, page: str) -> None:
    answer = client.get(page)

    assert answer.status_code == 200
    assert "text/html" in answer.headers["Content-Type"]
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    addresses = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert any(address.endswith(".js") for address in addresses)
    for address in addresses:
        assert address.startswith("/"), f"{page} loads {address}"
        assert client.get(address).status_code == 200


def test_the_document_describes_every_operation(client: TestClient) -> None:
    document: dict[str, Any] = client.get("/openapi.json").json()

    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        "POST /api/process_image",
        "GET /api/image_status/{task_id}",
        "POST /api/process_video",
        "GET /api/video_status/{task_id}",
        "POST /api/generate_preview",
        "GET /api/tasks",
        "GET /api/tasks/{task_id}",
        "DELETE /api/tasks/{task_id}",
        "GET /api/tasks/{task_id}/events",
        "POST /api/tasks/{task_id}/cancel",
        "POST /api/tasks/{task_id}/resume",
        "GET /static_results/{result_name}",
        "POST /api/confirm_download",
        "POST /api/task_heartbeat",
        "GET /api/cache_status",
        "POST /api/clear_cache",
        "GET /api/available_controls",
        "GET /api/model_loading_strategy",
        "GET /api/loaded_models_status",
        "POST /api/load_models",
        "POST /api/unload_models",
        "POST /api/install_models",
        "GET /health",
        "GET /ready",
        "GET /metrics",
    }
    for name, operation in operations.items():
        assert operation["summary"]
        assert operation["description"]
        answers = {status: resolved(document, answer) for status, answer in operation["responses"].items()}
        assert "500" in answers
        assert (" /api/" not in name) or {"401", "429"} <= set(answers)
        for status, answer in answers.items():
            assert answer["description"]
            if int(status) >= 400 and "application/json" not in answer.get("content", {}):
                assert set(answer["content"]) == {"application/problem+json"}
                assert answer["content"]["application/problem+json"]["examples"]
            if status in ("429", "503"):
                assert "Retry-After" in answer["headers"], name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], name
            assert parameter.get("examples") or parameter["schema"].get("examples"), (name, parameter["name"])
    for path in ("/api/process_image", "/api/process_video"):
        answers = operations[f"POST {path}"]["responses"]
        assert set(answers) == {*["202", "400", "401", "403", "408", "409", "413", "415", "422", "429", "500", "503"]}
        assert set(answers["202"]["headers"]) == {"Location", "Retry-After"}


def resolved(document: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """An answer, or the one that it refers to."""
    name = answer.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["responses"][name] if name else answer
    return found


def test_every_field_of_every_answer_has_an_example_or_says_what_it_is(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]

    for name, schema in schemas.items():
        for field, described in schema.get("properties", {}).items():
            assert (
                described.keys() & {"description", "examples", "const", "enum", "$ref", "items"}
                or described.get("type") == "boolean"
            ), f"{name}.{field}"


@pytest.mark.parametrize("keys", [[], ["a-key-that-is-long-enough"]])
def test_how_keys_are_given_is_told(open_client: OpenClient, keys: list[str]) -> None:
    with open_client(api_keys=keys) as client:
        document = client.get("/openapi.json").json()

    schemes = document["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"apiKey", "http"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == path.startswith("/api/")
            # Without keys none is asked for.
            assert "security" not in operation or ({} in operation["security"]) == (not keys)


def test_every_reference_in_the_document_leads_somewhere(client: TestClient) -> None:
    answer = client.get("/openapi.json")
    schemas = answer.json()["components"]["schemas"]

    for name in re.findall(r'"#/components/schemas/([^"]+)"', answer.text):
        assert name in schemas
    assert "Problem" in schemas


def form_of(client: TestClient, path: str) -> dict[str, Any]:
    """The schema of a route's form."""
    document = client.get("/openapi.json").json()
    body = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]
    form: dict[str, Any] = document["components"]["schemas"][body["schema"]["$ref"].rsplit("/", 1)[1]]
    return form


def test_the_form_of_photos_is_described_as_the_guide_says(client: TestClient) -> None:
    form = form_of(client, "/api/process_image")

    assert form["required"] == ["image_file"]
    properties = form["properties"]
    assert set(properties) == {
        "image_file",
        "task_type",
        "model_name",
        "use_patch_processing",
        "strength",
        "output_format",
        "quality",
    }
    assert properties["task_type"]["default"] == "denoise"
    assert properties["use_patch_processing"]["default"] is True
    assert properties["strength"]["default"] == 1.0
    assert properties["quality"]["default"] == 95
    assert properties["output_format"]["enum"] == ["same", "png", "jpeg", "webp", "tiff", "avif"]
    assert all(field["description"] for field in properties.values())


def test_the_form_of_videos_is_described_as_the_guide_says(client: TestClient) -> None:
    form = form_of(client, "/api/process_video")

    assert form["required"] == ["video_file"]
    properties = form["properties"]
    assert set(properties) == {
        "video_file",
        "task_type",
        "model_name",
        "strength",
        "codec",
        "quality",
        "temporal",
        "start",
        "end",
    }
    assert properties["codec"]["default"] == "h264"
    assert properties["codec"]["enum"] == ["h264", "h265", "av1", "vp9", "prores", "lossless"]
    assert properties["quality"]["default"] == 18
    assert (properties["quality"]["minimum"], properties["quality"]["maximum"]) == (0, 63)
    assert all(field["description"] for field in properties.values())
