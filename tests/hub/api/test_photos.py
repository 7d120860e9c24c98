from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

Wait = Callable[..., dict[str, Any]]
Post = Callable[..., str]


def pixels(content: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.float64)


def psnr(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(np.float64) - second) ** 2)))


def stored_files(client: TestClient) -> set[Path]:
    """Every upload and working file of the application's hub."""
    data_dir: Path = client.app.state.hub.settings.data_dir  # type: ignore[attr-defined]
    return {path for folder in ("uploads", "jobs", "tmp") for path in (data_dir / folder).rglob("*")}


def chunked_png(width: int, height: int, data: bytes) -> bytes:
    """An RGB PNG that claims a size and holds `data`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_photo_comes_back_cleaner(
    client: TestClient, png: bytes, clean_photo: NDArray[np.uint8], noisy_photo: NDArray[np.uint8], wait: Wait
) -> None:
    answer = client.post("/api/process_image", files={"image_file": ("Été à la mer.png", png, "image/png")})

    assert answer.status_code == 202
    started = answer.json()
    assert set(started) == {"task_id", "message"}
    assert started["message"] == "Image processing task started."
    assert answer.headers["Location"] == f"/api/image_status/{started['task_id']}"
    assert int(answer.headers["Retry-After"]) >= 1

    status = wait(client, started["task_id"])
    assert status["status"] == "completed", status
    assert status["progress"] == 100
    details = status["result"]
    assert (details["width"], details["height"]) == (168, 120)
    assert details["model"] == "denoise_16"
    assert details["format"] == "png"

    parts = status["result_path"].split("/")
    assert parts[:5] == ["", "static_results", "images", "denoise", "processed"]
    seconds, first, secret, word, _ = parts[5].split("_", 4)
    assert seconds.isdigit()
    assert first == started["task_id"][:8]
    assert len(secret) >= 16
    assert word == "enhanced"

    result = client.get(status["result_path"])
    assert result.status_code == 200
    assert len(result.content) == details["bytes"]
    restored = pixels(result.content)
    assert psnr(restored, clean_photo) > psnr(noisy_photo, clean_photo) + 4


@pytest.mark.parametrize("word", ["true", "1", "on", "false", "0", "off"])
def test_patch_processing_understands_words(client: TestClient, post: Post, word: str) -> None:
    task_id = post(use_patch_processing=word)

    hub = client.app.state.hub  # type: ignore[attr-defined]
    assert hub.cancel(task_id).job.spec["use_patch_processing"] is (word in ("true", "1", "on"))


def test_without_patch_processing_the_photo_goes_through_whole(client: TestClient, post: Post, wait: Wait) -> None:
    assert wait(client, post(use_patch_processing="false"))["result"]["whole"] is True


def test_patch_processing_refuses_other_words(client: TestClient, png: bytes) -> None:
    answer = client.post(
        "/api/process_image", files={"image_file": ("a.png", png)}, data={"use_patch_processing": "perhaps"}
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "use_patch_processing"]


def test_strength_zero_returns_the_photo(
    client: TestClient, post: Post, wait: Wait, noisy_photo: NDArray[np.uint8]
) -> None:
    status = wait(client, post(strength="0"))

    assert np.array_equal(pixels(client.get(status["result_path"]).content), noisy_photo)


def test_half_strength_lies_half_way(
    client: TestClient, post: Post, wait: Wait, noisy_photo: NDArray[np.uint8]
) -> None:
    full = pixels(client.get(wait(client, post())["result_path"]).content)
    half = pixels(client.get(wait(client, post(strength="0.5"))["result_path"]).content)

    assert np.abs(half - (full + noisy_photo) / 2).max() <= 1


@pytest.mark.parametrize(
    ("output_format", "media_type", "suffix"),
    [
        ("same", "image/png", ".png"),
        ("png", "image/png", ".png"),
        ("jpeg", "image/jpeg", ".jpg"),
        ("webp", "image/webp", ".webp"),
        ("tiff", "image/tiff", ".tif"),
        ("avif", "image/avif", ".avif"),
    ],
)
def test_output_formats(
    client: TestClient, post: Post, wait: Wait, output_format: str, media_type: str, suffix: str
) -> None:
    status = wait(client, post(output_format=output_format, quality="80"))

    assert status["status"] == "completed", status
    assert status["result_path"].endswith((suffix, f"{suffix}f"))
    result = client.get(status["result_path"])
    assert result.headers["Content-Type"] == media_type
    with Image.open(io.BytesIO(result.content)) as image:
        assert image.size == (168, 120)
        assert image.format == output_format.replace("same", "png").upper()


def test_an_empty_model_name_means_the_default(client: TestClient, post: Post, wait: Wait) -> None:
    assert wait(client, post(model_name=""))["result"]["model"] == "denoise_16"


@pytest.mark.parametrize(
    ("fields", "code", "valid"),
    [
        ({"task_type": "sharpen"}, "unknown_task", {"denoise", "deblur"}),
        ({"model_name": "denoise_x"}, "unknown_model", {"denoise_16", "denoise_b"}),
        ({"task_type": "denoise", "model_name": "deblur_b"}, "wrong_task", {"denoise_16", "denoise_b"}),
    ],
)
def test_wrong_choices_name_the_right_ones(
    client: TestClient, png: bytes, fields: dict[str, str], code: str, valid: set[str]
) -> None:
    before = stored_files(client)

    answer = client.post("/api/process_image", files={"image_file": ("a.png", png)}, data=fields)

    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert valid <= set(problem["valid"])
    assert all(name in problem["detail"] for name in valid)
    assert stored_files(client) == before


@pytest.mark.parametrize(
    "fields",
    [{"strength": "1.5"}, {"strength": "nan"}, {"quality": "0"}, {"quality": "101"}, {"output_format": "bmp"}],
)
def test_options_out_of_range(client: TestClient, png: bytes, fields: dict[str, str]) -> None:
    answer = client.post("/api/process_image", files={"image_file": ("a.png", png)}, data=fields)

    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "invalid_request"
    assert problem["errors"][0]["loc"] == ["body", *fields]


def test_no_file(client: TestClient) -> None:
    answer = client.post("/api/process_image", data={"task_type": "denoise"})

    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"loc": ["body", "image_file"], "msg": "Field required", "type": "missing"}]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "empty_file"),
        (b"%PDF-1.7 this is no photo" * 100, 415, None),
        (b"<html>nor is this</html>", 415, None),
        (chunked_png(20_000, 20_000, zlib.compress(b"")), 413, "too_many_pixels"),
    ],
    ids=["empty", "pdf", "html", "bomb"],
)
def test_bad_files_are_refused_at_once(client: TestClient, content: bytes, status: int, code: str | None) -> None:
    before = stored_files(client)

    answer = client.post("/api/process_image", files={"image_file": ("photo.jpg", content, "image/jpeg")})

    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "detail", "code"} <= set(problem)
    assert code in (None, problem["code"])
    assert stored_files(client) == before


def test_a_photo_damaged_behind_its_header_fails_with_words(client: TestClient, wait: Wait) -> None:
    damaged = chunked_png(100, 100, b"this was never compressed" * 40)

    answer = client.post("/api/process_image", files={"image_file": ("damaged.png", damaged)})

    assert answer.status_code == 202
    status = wait(client, answer.json()["task_id"])
    assert status["status"] == "failed"
    shown = client.get("/openapi.json").json()["components"]["schemas"]["FailedStatus"]["properties"]
    assert [status["error"].replace("0%", "32%")] == shown["error"]["examples"]
    assert status["code"] == "damaged_image"


def test_weights_that_cannot_be_had(client: TestClient, png: bytes) -> None:
    answer = client.post(
        "/api/process_image",
        files={"image_file": ("a.png", png)},
        data={"task_type": "deblur", "model_name": "deblur_b"},
    )

    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "weights_not_installed"
    assert "python -m hub fetch deblur_b" in problem["detail"]


@pytest.mark.parametrize("task_id", ["nothing", "00000000-0000-4000-8000-000000000000", "..%2f..%2fetc"])
def test_unknown_task(client: TestClient, task_id: str) -> None:
    answer = client.get(f"/api/image_status/{task_id}")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_two_photos_at_once_both_finish(client: TestClient, post: Post, wait: Wait) -> None:
    first, second = post(), post(filename="second.png")

    assert wait(client, first)["status"] == "completed"
    assert wait(client, second)["status"] == "completed"
    assert first != second
