from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from .conftest import Served, eventually

NAME = "1_a1b2c3d4_0123456789abcdef01234567_enhanced_photo"


@pytest.fixture(scope="module")
def result_path(client: TestClient, request: pytest.FixtureRequest) -> str:
    """A finished result's address."""
    hub = client.app.state.hub  # type: ignore[attr-defined]
    folder = hub.settings.resolved_results_dir / "images" / "denoise" / "processed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1_a1b2c3d4_0123456789abcdef01234567_enhanced_photo.png").write_bytes(bytes(range(256)))
    (folder / ".partial-1.png").write_bytes(b"half-written")
    for other in ("private.png", "processed/1_a1b2c3d4_short_enhanced_a.png", f"{NAME}.png", f"processed/x/{NAME}.png"):
        (folder.parent / other).parent.mkdir(exist_ok=True)
        (folder.parent / other).write_bytes(b"no result")
    (folder.parents[2] / "private.png").write_bytes(b"no result")
    for suffix in ("html", "svg", "xhtml", "js", "pdf", "txt"):
        (folder / f"{NAME}.{suffix}").write_bytes(b"<script>alert(1)</script>")
    return "/static_results/images/denoise/processed/1_a1b2c3d4_0123456789abcdef01234567_enhanced_photo.png"


def test_headers(client: TestClient, result_path: str) -> None:
    answer = client.get(result_path)

    assert answer.status_code == 200
    assert answer.content == bytes(range(256))
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"]


def test_head(client: TestClient, result_path: str) -> None:
    answer = client.head(result_path)

    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == "256"
    assert answer.content == b""


@pytest.mark.parametrize(
    ("asked", "served", "content"),
    [
        ("bytes=0-9", "bytes 0-9/256", bytes(range(10))),
        ("bytes=250-", "bytes 250-255/256", bytes(range(250, 256))),
        ("bytes=-2", "bytes 254-255/256", bytes([254, 255])),
    ],
)
def test_byte_ranges(client: TestClient, result_path: str, asked: str, served: str, content: bytes) -> None:
    answer = client.get(result_path, headers={"Range": asked})

    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == served
    assert answer.content == content


def test_several_ranges(client: TestClient, result_path: str) -> None:
    answer = client.get(result_path, headers={"Range": "bytes=0-1,254-"})

    assert answer.status_code == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges")
    assert b"\r\n\r\n\x00\x01\r\n" in answer.content
    assert b"\r\n\r\n\xfe\xff\r\n" in answer.content


def test_a_range_of_the_file_that_it_was(client: TestClient, result_path: str) -> None:
    """A player that goes on after the result was replaced gets the new file whole, not its tail."""
    etag = client.get(result_path).headers["ETag"]

    same = client.get(result_path, headers={"Range": "bytes=250-", "If-Range": etag})
    other = client.get(result_path, headers={"Range": "bytes=250-", "If-Range": '"another"'})

    assert (same.status_code, len(same.content)) == (206, 6)
    assert (other.status_code, len(other.content)) == (200, 256)


def test_head_of_a_range(client: TestClient, result_path: str) -> None:
    answer = client.head(result_path, headers={"Range": "bytes=0-9"})

    assert answer.status_code == 206
    assert answer.headers["Content-Length"] == "10"
    assert answer.content == b""


@pytest.mark.parametrize(
    ("suffix", "media_type"), [(".mp4", "video/mp4"), (".mov", "video/quicktime"), (".mkv", "video/x-matroska")]
)
def test_clips_have_their_own_types(client: TestClient, suffix: str, media_type: str) -> None:
    hub = client.app.state.hub  # type: ignore[attr-defined]
    folder = hub.settings.resolved_results_dir / "videos" / "denoise" / "processed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"1_a1b2c3d4_0123456789abcdef01234567_enhanced_clip{suffix}").write_bytes(bytes(10))

    answer = client.get(
        f"/static_results/videos/denoise/processed/1_a1b2c3d4_0123456789abcdef01234567_enhanced_clip{suffix}"
    )

    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # Without these two Chromium shows a black picture instead of a clip that is opened by its address.
    policy = answer.headers["Content-Security-Policy"]
    assert policy == "sandbox allow-same-origin; default-src 'none'; media-src 'self'"


def test_range_beyond_the_end(client: TestClient, result_path: str) -> None:
    answer = client.get(result_path, headers={"Range": "bytes=500-"})

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */256"
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_etag_saves_a_transfer(client: TestClient, result_path: str) -> None:
    etag = client.get(result_path).headers["ETag"]

    answer = client.get(result_path, headers={"If-None-Match": etag})

    assert answer.status_code == 304
    assert answer.content == b""


@pytest.mark.parametrize(
    "path",
    [
        "/static_results/",
        "/static_results/images",
        "/static_results/images/denoise/processed/",
        "/static_results/images/denoise/processed/nothing.png",
        "/static_results/images/denoise/processed/.partial-1.png",
        "/static_results/images/denoise/processed/1_a1b2c3d4_0123456789abcdef01234567_enhanced_photo.html",
        "/static_results/images/denoise/processed/1_a1b2c3d4_0123456789abcdef01234567_enhanced_photo.svg",
        "/static_results/images/denoise/processed/1_a1b2c3d4_0123456789abcdef01234567_enhanced_photo.xhtml",
        "/static_results/images/denoise/processed/1_a1b2c3d4_0123456789abcdef01234567_enhanced_photo.js",
        "/static_results/images/denoise/processed/1_a1b2c3d4_0123456789abcdef01234567_enhanced_photo.pdf",
        "/static_results/images/denoise/processed/1_a1b2c3d4_0123456789abcdef01234567_enhanced_photo.txt",
        "/static_results/private.png",
        "/static_results/images/denoise/private.png",
        f"/static_results/images/denoise/{NAME}.png",
        f"/static_results/images/denoise/processed/x/{NAME}.png",
        "/static_results/images/denoise/processed/1_a1b2c3d4_short_enhanced_a.png",
        "/static_results/../hub.sqlite3",
        "/static_results/%2e%2e/hub.sqlite3",
        "/static_results/images/..%2f..%2f..%2fhub.sqlite3",
        "/static_results//etc/passwd",
        "/static_results/%00",
        "/static_results/" + "a" * 3000,
    ],
)
def test_nothing_else_is_served(client: TestClient, result_path: str, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_wrong_method(client: TestClient, result_path: str) -> None:
    answer = client.post(result_path)

    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


def test_a_name_in_another_script(client: TestClient, post: Callable[..., str], wait: Callable[..., Any]) -> None:
    status = wait(client, post(filename="写真 été.png"))

    assert status["result_path"].isascii()
    assert client.get(status["result_path"]).status_code == 200


@pytest.fixture
def large_result(served: Served) -> tuple[str, Path]:
    """A finished result's address and file, larger than what lies between server and client."""
    folder = served.hub.settings.resolved_results_dir / "videos" / "denoise" / "processed"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "1_a1b2c3d4_0123456789abcdef01234567_enhanced_clip.mp4"
    path.write_bytes(bytes(range(256)) * 200_000)
    return f"{served.address}/static_results/videos/denoise/processed/{path.name}", path


def readers(served: Served) -> int:
    return sum(served.hub.files._readers._reading.values())


def test_a_result_is_held_while_it_is_sent(served: Served, large_result: tuple[str, Path]) -> None:
    address, path = large_result
    with httpx.stream("GET", address) as answer:
        received = answer.iter_bytes(1 << 16)
        content = next(received)
        assert readers(served) == 1
        content += b"".join(received)

    assert content == path.read_bytes()
    eventually(lambda: readers(served) == 0)


def test_a_client_that_leaves_holds_nothing(served: Served, large_result: tuple[str, Path]) -> None:
    with httpx.stream("GET", large_result[0]) as answer:
        received = answer.iter_bytes(1 << 16)  # Kept, for the connection is closed when it goes.
        next(received)
        assert readers(served) == 1

    eventually(lambda: readers(served) == 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Range": "bytes=0-9"}, 206), ({"Range": "bytes=999999999-"}, 416), ({"Range": "nonsense=1"}, 400), ({}, 200)],
)
def test_nothing_is_held_afterwards(
    served: Served, large_result: tuple[str, Path], headers: dict[str, str], status: int
) -> None:
    assert httpx.head(large_result[0], headers=headers).status_code == status
    etag = httpx.head(large_result[0]).headers["ETag"]
    assert httpx.get(large_result[0], headers={"If-None-Match": etag}).status_code == 304

    eventually(lambda: readers(served) == 0)


def test_whoever_reads_a_deleted_result_gets_it_whole(served: Served, png: bytes) -> None:
    task_id = httpx.post(f"{served.address}/api/process_image", files={"image_file": ("a.png", png)}).json()["task_id"]
    job = served.hub.manager.wait(task_id, 120).job
    path = served.hub.result_file(str(job.result_path))
    whole = os.urandom(50_000_000)
    path.write_bytes(whole)  # So large that it cannot have been sent before the deletion.

    with httpx.stream("GET", f"{served.address}{job.result_path}") as answer:
        received = answer.iter_bytes(1 << 16)
        content = next(received)
        assert httpx.delete(f"{served.address}/api/tasks/{task_id}").status_code == 204
        assert httpx.get(f"{served.address}{job.result_path}").status_code == 404
        content += b"".join(received)

    assert content == whole
    eventually(lambda: not path.exists())
