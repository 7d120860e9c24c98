from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub.engine import EngineStatus, Priority
from hub.engine.loaded import ModelStatus
from hub.errors import Busy
from hub.jobs.model import Job, Kind, Status
from hub.metrics import Metrics

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample that Prometheus would read, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, frozenset(labels.items())]


def test_runs_are_counted_by_kind_and_end() -> None:
    metrics = Metrics("1.2.3")
    photo = Job.new(Kind.IMAGE, "denoise", {}, "a.png")
    clip = Job.new(Kind.VIDEO, "denoise", {}, "a.mp4")

    metrics.began(photo, 0.3)
    metrics.ended(photo, Status.COMPLETED, 2.5)
    metrics.began(clip, 70)
    metrics.ended(clip, Status.PENDING, 400)

    assert value(metrics, "uformer_hub_runs_total", kind="image", status="completed") == 1
    assert value(metrics, "uformer_hub_runs_total", kind="video", status="pending") == 1
    assert value(metrics, "uformer_hub_runs_total", kind="video", status="failed") == 0
    assert value(metrics, "uformer_hub_queue_wait_seconds_sum", kind="image") == pytest.approx(0.3)
    assert value(metrics, "uformer_hub_queue_wait_seconds_bucket", kind="video", le="60.0") == 0
    assert value(metrics, "uformer_hub_queue_wait_seconds_bucket", kind="video", le="300.0") == 1
    assert value(metrics, "uformer_hub_run_seconds_sum", kind="image") == 2.5
    assert value(metrics, "uformer_hub_build_info", version="1.2.3") == 1


def test_requests_are_counted_by_template_and_known_methods_only() -> None:
    metrics = Metrics("1")

    metrics.answered("/api/tasks/{task_id}", "GET", 200, 0.02)
    metrics.answered("none", "BREW", 405, 0.0)

    assert (
        value(metrics, "uformer_hub_http_requests_total", route="/api/tasks/{task_id}", method="GET", status="200") == 1
    )
    assert value(metrics, "uformer_hub_http_requests_total", route="none", method="other", status="405") == 1
    assert value(metrics, "uformer_hub_http_request_seconds_sum", route="/api/tasks/{task_id}", method="GET") == 0.02


def test_jobs_are_what_the_store_says() -> None:
    metrics = Metrics("1")
    metrics.watch_jobs(lambda: {(Kind.IMAGE, Status.PENDING): 3})

    assert value(metrics, "uformer_hub_jobs", kind="image", status="pending") == 3
    assert value(metrics, "uformer_hub_jobs", kind="video", status="failed") == 0
    assert value(metrics, "uformer_hub_database_up") == 1


def test_a_database_that_refuses_or_hangs_is_told_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = threading.Event()

    def hang() -> Mapping[tuple[Kind, Status], int]:
        leave.wait(30)
        return {}

    def refuse() -> Mapping[tuple[Kind, Status], int]:
        raise Busy("database_unavailable", "The jobs database does not answer.")

    monkeypatch.setattr("hub.metrics.DATABASE_SECONDS", 0.05)
    try:
        for counts in (hang, refuse):
            metrics = Metrics("1")
            metrics.watch_jobs(counts)
            began = time.monotonic()

            read = samples(metrics)

            assert time.monotonic() - began < 10
            assert read["uformer_hub_database_up", frozenset()] == 0
            assert not [name for name, _ in read if name == "uformer_hub_jobs"]
    finally:
        leave.set()


def test_the_engine_is_told_once_it_is_there() -> None:
    status: list[EngineStatus] = []
    metrics = Metrics("1")
    metrics.watch_engine(lambda: status[0] if status else None)
    assert value(metrics, "uformer_hub_engine_running") == 0
    assert not [name for name, _ in samples(metrics) if name == "uformer_hub_tiles_total"]

    status.append(
        EngineStatus(
            running=True,
            models=(ModelStatus("denoise_16", True, 1, 5000, "cpu"), ModelStatus("denoise_b", False, 0, 0, None)),
            memory_used=5000,
            memory_budget=None,
            loads=2,
            evictions=1,
            queued={Priority.LIVE: 0, Priority.IMAGE: 4, Priority.VIDEO: 9},
            batches=10,
            tiles=30,
            mean_batch_fill=0.75,
            busy_seconds=12.5,
            failed_batches=3,
            out_of_memory=2,
        )
    )

    expected: dict[str, float] = {
        "engine_running": 1,
        "tiles_total": 30,
        "batches_total": 10,
        "busy_seconds_total": 12.5,
        "batch_fill_ratio": 0.75,
        "failed_batches_total": 3,
        "out_of_memory_total": 2,
        "models_loaded": 1,
        "model_loads_total": 2,
        "model_evictions_total": 1,
    }
    assert {name: value(metrics, f"uformer_hub_{name}") for name in expected} == expected
    assert value(metrics, "uformer_hub_tiles_waiting", priority="video") == 9
    assert value(metrics, "uformer_hub_model_memory_bytes", model="denoise_16") == 5000


def test_disk_live_sockets_and_the_process(tmp_path: Path) -> None:
    metrics = Metrics("1")
    metrics.watch_disk({"gone": tmp_path / "gone", "results": tmp_path})
    metrics.watch_live(lambda: {"clients": 2, "frames_total": 7})

    assert value(metrics, "uformer_hub_disk_free_bytes", folder="results") > 0
    assert ("uformer_hub_disk_free_bytes", frozenset({("folder", "gone")})) not in samples(metrics)
    assert value(metrics, "uformer_hub_live_clients") == 2
    assert value(metrics, "uformer_hub_live_frames_total") == 7
    if sys.platform == "linux":
        assert value(metrics, "process_resident_memory_bytes") > 1e6
        assert value(metrics, "process_cpu_seconds_total") > 0


def test_reading_loads_no_torch() -> None:
    code = (
        "import sys; from hub.metrics import Metrics; m = Metrics('1'); m.watch_engine(lambda: None); m.render();"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, timeout=60, check=False).returncode == 0
