"""Official weights: downloaded once, checked, and kept as the network alone."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from pathlib import Path
from urllib.parse import quote, urlsplit

from filelock import FileLock, Timeout

from hub.catalog import Catalog, ModelEntry, unavailable
from hub.download import AddressFailed, discard, download, open_client
from hub.errors import Busy, Cancelled, Conflict, HubError
from hub.flights import Flight, Probe
from hub.ledger import Ledger
from uformer.checkpoint import CheckpointError, inspect

WATCH_SECONDS = 0.1


class WrongChecksum(AddressFailed):
    """What an address delivers is not the file that is expected."""


class Fetcher:
    """Downloads the catalog's official models into a folder. Thread-safe, and safe beside other processes.

    fetched_dir: gets the weights, and fetched.json with the sha256 of every official file when it first
        came; a later one that differs is refused.
    urls: base addresses, tried in order.
    """

    def __init__(self, catalog: Catalog, fetched_dir: Path, urls: Sequence[str]) -> None:
        self._catalog = catalog
        self._dir = fetched_dir
        self._urls = [url.rstrip("/") for url in urls]
        self._ledger = Ledger(fetched_dir / "fetched.json")
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._probes: dict[str, Probe] = {}

    def reachable(self, name: str) -> bool:
        """Whether a model's official file can be had just now; takes 3 seconds at most, known for the next 30."""
        source = self._catalog.get(name).source
        if source is None:
            return False
        with self._lock:
            probe = self._probes.get(name)
            if probe is None or probe.stale:
                probe = self._probes[name] = Probe(self._addresses(source))
        return probe.result()

    def fetch(
        self,
        name: str,
        *,
        progress: Callable[[int, int | None], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        force: bool = False,
    ) -> Path:
        """Install a model's official weights and return the file; one that is installed is returned as it is.

        Callers that ask for the same model at once share one download, which stops when the last of them
        cancels. What has come so far is kept and the next call goes on from there.
        progress: bytes so far and in all (None where unknown), called in this thread.
        force: download again although installed; the old file stays until the new one is sound.
        Raises InvalidInput (`unknown_model`), Conflict (`fetch_failed`, `checksum_mismatch`, and for a model
        without an official file `weights_not_installed`, `weights_unusable`), Busy (`disk_full`), Cancelled.
        """
        entry = self._catalog.get(name)
        if entry.path is not None and entry.installed and not force:
            return entry.path
        if entry.source is None:
            raise unavailable(entry)
        flight = self._board(entry, force)
        told = None
        try:
            landed = False
            while not landed:
                landed = flight.landed.wait(WATCH_SECONDS)
                if cancelled is not None and not landed and cancelled():
                    raise Cancelled("The download was cancelled.")
                if progress is not None and (now := flight.progress) is not None and now != told:
                    progress(*now)
                    told = now
        finally:
            with self._lock:
                flight.callers -= 1
                if flight.callers == 0:
                    flight.stopped.set()
        if flight.path is None:
            raise flight.error or Cancelled("The download was cancelled.")
        return flight.path

    def _board(self, entry: ModelEntry, force: bool) -> Flight:
        """Join the model's download, or start one."""
        with self._lock:
            flight = self._flights.get(entry.name)
            if flight is None or flight.stopped.is_set():
                flight = self._flights[entry.name] = Flight()
                threading.Thread(
                    target=copy_context().run,
                    args=(self._fly, flight, entry, force),
                    name=f"fetch {entry.name}",
                    daemon=True,
                ).start()
            flight.callers += 1
            return flight

    def _fly(self, flight: Flight, entry: ModelEntry, force: bool) -> None:
        try:
            flight.path = self._install(flight, entry, force)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            flight.error = (
                Busy("disk_full", "The disk is full; the weights did not fit.", retry_after=300)
                if full
                else HubError("storage_failed", f"The weights folder cannot be written: {error.strerror or error}.")
            )
        except Exception as error:  # noqa: BLE001 - those who wait for this download raise it
            flight.error = error
        finally:
            with self._lock:
                if self._flights.get(entry.name) is flight:
                    del self._flights[entry.name]
            flight.landed.set()

    def _install(self, flight: Flight, entry: ModelEntry, force: bool) -> Path:
        """Download from the first address that delivers, check, convert and keep."""
        self._dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._dir / f".{entry.name}.lock")
        _acquire(lock, flight)
        try:
            now = self._catalog.get(entry.name)
            if now.path is not None and now.installed and not force:
                return now.path  # Another process was faster.
            for leftover in self._dir.glob(f".{entry.file}.*.tmp"):
                leftover.unlink()
            return self._download(flight, entry, str(entry.source))
        finally:
            lock.release()

    def _download(self, flight: Flight, entry: ModelEntry, source: str) -> Path:
        part = self._dir / f"{source}.part"
        failures: list[str] = []
        code = "fetch_failed"
        with open_client() as client:
            for url in self._addresses(source):
                try:
                    told = download(client, url, part, progress=flight.report, check_stopped=flight.check_stopped)
                    return self._keep(entry, source, part, told)
                except AddressFailed as error:
                    failures.append(f"{urlsplit(url).netloc or url} {error}")
                    if isinstance(error, WrongChecksum):
                        code = "checksum_mismatch"
        raise Conflict(
            code,
            f"The weights of {entry.name!r} could not be downloaded: {'; '.join(failures)}. "
            f"Try again with: python -m hub fetch {entry.name}",
            {"model_name": entry.name, "failures": failures},
        )

    def _keep(self, entry: ModelEntry, source: str, part: Path, told: str | None) -> Path:
        """Check a complete download and put the network alone in its place.

        told: the sha256 that the server gave. Raises AddressFailed; then the download is gone.
        """
        import torch

        from uformer.modelfile import load_model, save_model

        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        recorded = self._ledger.sha256(source)
        for expected, whose in (
            (entry.sha256, "the manifest's"),
            (told, "its own"),
            (recorded, "the first download's"),
        ):
            if expected is not None and digest != expected:
                discard(part)
                raise WrongChecksum(f"sent a file whose sha256 {digest} is not {whose} {expected}")
        try:
            half = inspect(part).dtype == "float16"
            model = load_model(part, train_size=entry.train_size, variant=entry.variant)
        except CheckpointError as error:
            discard(part)
            raise AddressFailed(f"sent a file that is no use: {error.problem.rstrip('.')}") from error
        self._ledger.record(source, digest, part.stat().st_size)
        target = self._dir / entry.file
        remarks = {"task": entry.task, "licence": entry.licence, "source": source, "source_sha256": digest}
        save_model(model, target, remarks, torch.float16 if half else torch.float32)
        discard(part)
        return target

    def _addresses(self, source: str) -> list[str]:
        return [f"{url}/{quote(source)}" for url in self._urls]


def _acquire(lock: FileLock, flight: Flight) -> None:
    """Wait until no other process downloads the same model."""
    while True:
        flight.check_stopped()
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            continue
        return
