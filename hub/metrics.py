"""What the hub counts, for Prometheus; reading it starts nothing and waits only for the database, 2 seconds at most."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.asking import Asker, NoAnswer
from hub.errors import HubError
from hub.jobs.model import Job, Kind, Status

if TYPE_CHECKING:
    from hub.engine import EngineStatus

PREFIX = "uformer_hub_"
# When each series began: that doubles the lines, and the process's start says the same.
disable_created_metrics()  # type: ignore[no-untyped-call]
DATABASE_SECONDS = 2.0
"""How long a reading waits for the numbers of jobs."""

WAIT_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400)
RUN_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400)
ANSWER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Counts = Mapping[tuple[Kind, Status], int]


class Metrics:
    """Counts what it is told of, and asks for the rest whenever it is read; thread-safe.

    It is the jobs' Observer. Names begin with `uformer_hub_`, except those of the process itself, which Prometheus'
    own dashboards expect as `process_...`.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        self._waits = self._histogram("queue_wait_seconds", "Seconds from sending or resuming to a run.", WAIT_SECONDS)
        self._runs = self._histogram("run_seconds", "Seconds that runs of jobs took.", RUN_SECONDS)
        self._ended = Counter(
            f"{PREFIX}runs", "Runs of jobs, by how they ended.", ("kind", "status"), registry=self._registry
        )
        self._requests = Counter(
            f"{PREFIX}http_requests",
            "HTTP requests answered.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._answers = Histogram(
            f"{PREFIX}http_request_seconds",
            "Seconds from a request's first line to the answer's, its body's arrival included.",
            ("route", "method"),
            buckets=ANSWER_SECONDS,
            registry=self._registry,
        )
        for kind in Kind:  # All are there from the start, at 0: a rate needs a first value.
            self._waits.labels(kind)
            self._runs.labels(kind)
            for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.PENDING):
                self._ended.labels(kind, status)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Version(version))

    def began(self, job: Job, waited: float) -> None:
        """A run begins; waited: seconds since the job was sent or resumed."""
        self._waits.labels(job.kind).observe(max(0.0, waited))

    def ended(self, job: Job, status: Status, seconds: float) -> None:
        """A run of so many seconds ended; PENDING: put back into the queue."""
        self._runs.labels(job.kind).observe(seconds)
        self._ended.labels(job.kind, status).inc()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. route: its template, never a path, of which there are no end."""
        method = method if method in METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._answers.labels(route, method).observe(seconds)

    def watch_jobs(self, counts: Callable[[], Counts]) -> None:
        """Tell how many jobs there are, as `counts` says when asked; where it is slow they are left out."""
        self._registry.register(_Jobs(counts))

    def watch_engine(self, status: Callable[[], EngineStatus | None]) -> None:
        """Tell what the engine does; None while there is none, which a reading must not change."""
        self._registry.register(_Engine(status))

    def watch_disk(self, folders: Mapping[str, Path]) -> None:
        """Tell how much is free where these folders are; they are called by the mapping's keys."""
        self._registry.register(_Disk(folders))

    def watch_live(self, counters: Callable[[], Mapping[str, float]]) -> None:
        """Tell what the live sockets do; names that end in `_total` only ever rise."""
        self._registry.register(_Live(counters))

    def render(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(PREFIX + name, text, ("kind",), buckets=buckets, registry=self._registry)


class _Version(Collector):
    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(f"{PREFIX}build", "Which hub this is.", {"version": self._version})


class _Jobs(Collector):
    def __init__(self, counts: Callable[[], Counts]) -> None:
        self._asker = Asker(counts)

    def describe(self) -> list[Metric]:
        return []  # Registering must not ask the database.

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily(f"{PREFIX}jobs", "Jobs that are kept, by where they stand.", labels=("kind", "status"))
        try:
            counts = self._asker.ask(DATABASE_SECONDS)
        except (NoAnswer, HubError):
            counts = None
        if counts is not None:
            for kind in Kind:
                for status in Status:
                    jobs.add_metric((kind, status), counts.get((kind, status), 0))
        yield jobs
        yield _gauge("database_up", "Whether the jobs database answers within 2 seconds.", counts is not None)


class _Engine(Collector):
    def __init__(self, status: Callable[[], EngineStatus | None]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield _gauge("engine_running", "Whether the engine has been started.", status is not None and status.running)
        if status is None:
            return
        yield _counter("tiles", "Tiles restored.", status.tiles)
        yield _counter("batches", "Batches of tiles run.", status.batches)
        yield _counter("failed_batches", "Batches that failed.", status.failed_batches)
        yield _counter("out_of_memory", "Batches that did not fit into memory.", status.out_of_memory)
        yield _counter("busy_seconds", "Seconds spent computing.", status.busy_seconds)
        yield _gauge("batch_fill_ratio", "Mean share of the tiles that fit into a batch.", status.mean_batch_fill)
        waiting = GaugeMetricFamily(f"{PREFIX}tiles_waiting", "Tiles that wait.", labels=("priority",))
        for priority, tiles in status.queued.items():
            waiting.add_metric((priority.name.lower(),), tiles)
        yield waiting
        loaded = [model for model in status.models if model.loaded]
        yield _gauge("models_loaded", "Models in memory.", len(loaded))
        memory = GaugeMetricFamily(f"{PREFIX}model_memory_bytes", "Memory of loaded models.", labels=("model",))
        for model in loaded:
            memory.add_metric((model.name,), model.bytes)
        yield memory
        yield _counter("model_loads", "Models loaded.", status.loads)
        yield _counter("model_evictions", "Models unloaded to make room.", status.evictions)


class _Disk(Collector):
    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)

    def collect(self) -> Iterator[Metric]:
        free = GaugeMetricFamily(f"{PREFIX}disk_free_bytes", "Free space on the disk of a folder.", labels=("folder",))
        for name, folder in self._folders.items():
            with suppress(OSError):  # One that has gone is left out; the other numbers are told all the same.
                free.add_metric((name,), shutil.disk_usage(folder).free)
        yield free


class _Live(Collector):
    def __init__(self, counters: Callable[[], Mapping[str, float]]) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        for name, value in self._counters().items():
            text = f"Live sockets: {name.removesuffix('_total').replace('_', ' ')}."
            yield (_counter if name.endswith("_total") else _gauge)(f"live_{name}", text, value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, value=value)
