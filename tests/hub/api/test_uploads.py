from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from fastapi.testclient import TestClient

OpenClient = Callable[..., AbstractContextManager[TestClient]]


def test_a_declared_size_is_refused_before_the_body_is_read(open_client: OpenClient) -> None:
    with open_client(max_upload_mb=1) as client:
        answer = client.post("/api/process_image", files={"image_file": ("a.png", bytes(3_000_000))})

        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "upload_too_large"
        assert "1 MB" in answer.json()["detail"]


def test_a_body_of_unknown_size_is_stopped_while_it_streams_in(open_client: OpenClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield (
            b"--x\r\n"
            b'Content-Disposition: form-data; name="image_file"; filename="a.png"\r\n'
            b"Content-Type: image/png\r\n\r\n"
        )
        while sent < 50_000_000:
            sent += 100_000
            yield bytes(100_000)

    with open_client(max_upload_mb=1) as client:
        answer = client.post(
            "/api/process_image", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=x"}
        )

        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "upload_too_large"


def test_a_nearly_full_disk_refuses_uploads_and_serves_on(open_client: OpenClient, png: bytes) -> None:
    with open_client(min_free_mb=10**9) as client:
        answer = client.post("/api/process_image", files={"image_file": ("a.png", png)})

        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["code"] == "disk_full"
        assert client.get("/health").status_code == 200
