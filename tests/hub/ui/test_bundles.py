from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from hub.jobs.model import Status
from hub.service import Hub, PhotoOptions
from hub.ui.bundles import bundle_address, bundle_route

SECONDS = 300
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def client(hub: Hub) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=[bundle_route(hub)])) as client:
        yield client


@pytest.fixture
def jobs(hub: Hub, noisy_png: Path) -> list[str]:
    """Ids of three finished photos, two of which are called the same."""
    ids = []
    for name in ("a.png", "b.png", "A.png"):
        with noisy_png.open("rb") as stream:
            ids.append(hub.submit_photo(stream, name, PhotoOptions(strength=0.0)).id)
    for id_ in ids:
        assert hub.manager.wait(id_, SECONDS).job.status is Status.COMPLETED
    return ids


def test_results_come_together(hub: Hub, client: TestClient, jobs: list[str]) -> None:
    answer = client.get(f"/{bundle_address([*jobs, jobs[0], UNKNOWN])}")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="photos.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a-restored.png", "b-restored.png", "A-restored (2).png"]
        for id_, name in zip(jobs, archive.namelist(), strict=True):
            result = hub.result_file(str(hub.view(id_).job.result_path))
            assert archive.read(name) == result.read_bytes()

    hub.manager.delete(jobs[1])
    rest = client.get(f"/{bundle_address(jobs)}")
    with zipfile.ZipFile(io.BytesIO(rest.content)) as archive:
        assert archive.namelist() == ["a-restored.png", "A-restored (2).png"]


@pytest.mark.parametrize("query", ["", "job=", "job=../../etc/passwd", f"job={UNKNOWN}"])
def test_nothing_to_bundle(client: TestClient, query: str) -> None:
    assert client.get(f"/bundles/photos.zip?{query}").status_code == 404
