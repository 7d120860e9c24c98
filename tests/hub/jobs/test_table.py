"""Databases of earlier versions, opened by this one."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.errors import Conflict
from hub.jobs.model import Job, Kind, Status
from hub.jobs.store import JobStore
from hub.jobs.table import JOBS

FIRST_VERSION = """
CREATE TABLE jobs (
    id VARCHAR(36) NOT NULL, kind VARCHAR(16) NOT NULL, task VARCHAR(64) NOT NULL, status VARCHAR(16) NOT NULL,
    spec JSON NOT NULL, filename TEXT NOT NULL, secret VARCHAR(64) NOT NULL, turn BIGINT NOT NULL,
    created_at DOUBLE NOT NULL, started_at DOUBLE, finished_at DOUBLE, attempts INTEGER NOT NULL,
    progress INTEGER NOT NULL, result_path TEXT, result JSON, error_code VARCHAR(64), error TEXT, PRIMARY KEY (id)
);
CREATE INDEX jobs_by_age ON jobs (created_at);
CREATE INDEX jobs_by_turn ON jobs (status, turn);
INSERT INTO jobs VALUES ('a', 'video', 'deblur', 'completed', '{"strength": 1}', 'é.mp4', '5ec7e7', 7, 1.5, 2.5, 3.5,
    1, 100, '/static_results/x', '{"width": 4}', NULL, NULL);
INSERT INTO jobs VALUES ('b', 'image', 'denoise', 'pending', '{}', 'b.png', '5ec7e8', 8, 1.75, NULL, NULL,
    0, 0, NULL, NULL, NULL, NULL);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "hub.sqlite3"
    with sqlite3.connect(made) as connection:
        connection.executescript(FIRST_VERSION)
    connection.close()
    return made


def shape(path: Path) -> tuple[set[tuple[str, ...]], set[str]]:
    """Columns with their types, and indexes, of the table as the file has it."""
    connection = sqlite3.connect(path)
    columns = {(row[1], row[2], str(row[3])) for row in connection.execute("PRAGMA table_info(jobs)")}
    indexes = {row[1] for row in connection.execute("PRAGMA index_list(jobs)") if not row[1].startswith("sqlite_")}
    connection.close()
    return columns, indexes


def test_a_database_of_the_first_version_is_brought_up_to_date(path: Path, tmp_path: Path) -> None:
    began = time.time()
    for _ in range(2):  # The second opening finds nothing to do.
        store = JobStore(f"sqlite:///{path}")
        jobs = {job.id: job for job in store.list()}
        store.close()
        assert jobs["a"] == Job(
            "a", Kind.VIDEO, "deblur", Status.COMPLETED, {"strength": 1}, "é.mp4", "5ec7e7", 7, 1.5, 2.5, 3.5, 1, 100,
            "/static_results/x", {"width": 4}, leased_at=jobs["a"].leased_at,
        )  # fmt: skip
        assert began <= (jobs["a"].leased_at or 0) <= time.time(), "What was kept so far is not to go at once."
        assert jobs["b"].leased_at is None
        assert jobs["b"].owner == ""
        assert jobs["b"].heartbeat_at is jobs["b"].confirmed_at is jobs["b"].idempotency_key is None
    fresh = tmp_path / "fresh.sqlite3"
    JobStore(f"sqlite:///{fresh}").close()
    assert shape(path) == shape(fresh)
    assert shape(path)[1] == {index.name for index in JOBS.indexes}


def test_several_processes_may_upgrade_at_once(path: Path) -> None:
    together = threading.Barrier(6)

    def open_it() -> list[float | None]:
        together.wait()
        store = JobStore(f"sqlite:///{path}")
        leased = [job.leased_at for job in store.list()]
        store.close()
        return leased

    with ThreadPoolExecutor(6) as threads:
        opened = [threads.submit(open_it) for _ in range(6)]
    assert len({tuple(each.result()) for each in opened}) == 1
    assert shape(path)[1] == {index.name for index in JOBS.indexes}


def test_an_upgraded_database_takes_a_key_once(path: Path) -> None:
    store = JobStore(f"sqlite:///{path}")

    def keyed(owner: str, key: str | None) -> Job:
        job = Job.new(Kind.IMAGE, "denoise", {}, "a.png", owner)
        return Job(**{**vars(job), "idempotency_key": key})

    for owner, key in (("me", "k"), ("you", "k"), ("me", None), ("me", None)):
        assert store.add(keyed(owner, key))
    with pytest.raises(Conflict) as raised:
        store.add(keyed("me", "k"))
    assert raised.value.code == "idempotency_key_taken"
    assert len(store.list(owner="me")) == 3
    store.close()


def test_an_upgrade_cut_short_is_finished_by_the_next(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE jobs ADD COLUMN owner VARCHAR(80) DEFAULT '' NOT NULL")
    connection.close()
    store = JobStore(f"sqlite:///{path}")
    assert [job.owner for job in store.list()] == ["", ""]
    store.close()
    assert shape(path)[1] == {index.name for index in JOBS.indexes}
