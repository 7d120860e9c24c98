"""Downloads of official weights, from servers on this machine that break off, lie, move and stay silent."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
import torch
from safetensors import safe_open

from hub import download as downloading
from hub.catalog import Catalog
from hub.errors import Busy, Cancelled, Conflict, InvalidInput
from hub.fetch import Fetcher
from uformer.architecture import VARIANTS
from uformer.checkpoint import inspect
from uformer.model import Uformer
from uformer.modelfile import load_model

SOURCE = "Official file.pth"


@dataclass
class Server:
    """What a file server does, and what it was asked. `url` is its base address."""

    content: bytes
    etag: str | None = '"v1"'
    status: int = 200
    ranges: bool = True
    redirect_sha256: str | None = None
    breaks: list[int] = field(default_factory=list)  # Each of the next answers ends after so many bytes.
    pause: float = 0.0  # Seconds between blocks of 64 KiB.
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: Server

    def do_GET(self) -> None:
        server, wanted = self.behaviour, self.headers.get("Range")
        probe = wanted == "bytes=0-0"
        if not probe:
            server.requests.append((unquote(self.path), wanted))
        if server.status != 200:
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if server.redirect_sha256 is not None and not self.path.startswith("/store"):
            self.send_response(302)
            self.send_header("Location", "/store" + self.path)
            self.send_header("X-Linked-ETag", f'"{server.redirect_sha256}"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send_file(server, wanted)

    def _send_file(self, server: Server, wanted: str | None) -> None:
        total, start = len(server.content), 0
        if wanted and server.ranges and self.headers.get("If-Range") in (None, server.etag):
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if start < total else 416)
            self.send_header(
                "Content-Range", f"bytes {start}-{total - 1}/{total}" if start < total else f"bytes */{total}"
            )
        else:
            self.send_response(200)
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        cut = server.breaks.pop(0) if server.breaks and wanted != "bytes=0-0" else len(body)
        try:
            for place in range(0, cut, 1 << 16):
                self.wfile.write(body[place : min(place + (1 << 16), cut)])
                time.sleep(server.pause)
        except OSError:
            cut = 0  # The client has gone.
        if cut < len(body):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[[Server], Server]]:
    """Starts file servers that live as long as the test."""
    running: list[ThreadingHTTPServer] = []

    def start(behaviour: Server) -> Server:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"behaviour": behaviour}))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        running.append(server)
        behaviour.url = f"http://127.0.0.1:{server.server_address[1]}/models/"
        return behaviour

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _direct_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between the test and its servers, and short pauses between attempts."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(downloading, "PAUSE_SECONDS", 0.01)


@pytest.fixture(scope="module")
def official() -> bytes:
    """An official training file: DataParallel names, and optimizer state as large as the network."""
    model = Uformer(VARIANTS["uformer_16"])
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    moments = {index: {"exp_avg": torch.ones_like(tensor)} for index, tensor in enumerate(model.parameters())}
    file = io.BytesIO()
    torch.save({"epoch": 1, "state_dict": state, "optimizer": {"state": moments, "param_groups": []}}, file)
    return file.getvalue()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    weights = tmp_path / "weights"
    weights.mkdir()
    model = {
        "name": "denoise_x",
        "task": "denoise",
        "text": "",
        "description": "",
        "variant": "uformer_16",
        "train_size": 256,
        "file": "denoise_x.safetensors",
        "official_file": SOURCE.replace(" ", "_"),
        "sha256": None,
        "licence": "MIT",
        "source": "",
        "training_data": "",
    }
    shipped = {**model, "name": "shipped", "file": "shipped.safetensors", "official_file": None, "sha256": "0" * 64}
    (weights / "manifest.json").write_text(json.dumps({"models": [model, shipped]}), encoding="utf-8")
    return Catalog(weights, tmp_path / "fetched")


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    return tmp_path / "fetched"


@pytest.fixture
def make_fetcher(catalog: Catalog, fetched: Path) -> Callable[..., Fetcher]:
    return lambda *urls: Fetcher(catalog, fetched, urls)


def unused_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/models"


def test_fetched_file_is_the_network_alone(
    serve: Callable[[Server], Server],
    make_fetcher: Callable[..., Fetcher],
    catalog: Catalog,
    official: bytes,
    fetched: Path,
) -> None:
    server = serve(Server(official))
    told: list[tuple[int, int | None]] = []
    path = make_fetcher(server.url).fetch("denoise_x", progress=lambda *now: told.append(now))
    digest = hashlib.sha256(official).hexdigest()
    assert server.requests == [("/models/Official_file.pth", None)]
    assert path.stat().st_size < 0.6 * len(official)
    info = inspect(path)
    assert (info.variant, info.train_size, info.task, info.dtype) == ("uformer_16", 256, "denoise", "float32")
    assert (info.metadata["source"], info.metadata["source_sha256"]) == ("Official_file.pth", digest)
    assert told == sorted(told, key=lambda now: now[0])
    assert told[-1] == (len(official), len(official))
    record = json.loads((fetched / "fetched.json").read_text(encoding="utf-8"))["Official_file.pth"]
    assert (record["sha256"], record["size"]) == (digest, len(official))
    assert not [left.name for left in fetched.iterdir() if ".pth" in left.name or "tmp" in left.name]
    entry = catalog.get("denoise_x")
    assert (entry.path, entry.installed) == (path, True)
    assert catalog.load("denoise_x").config.train_size == 256


def test_values_are_kept_exactly(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes, tmp_path: Path
) -> None:
    (tmp_path / "given.pth").write_bytes(official)
    before = load_model(tmp_path / "given.pth").state_dict()
    after = load_model(make_fetcher(serve(Server(official)).url).fetch("denoise_x")).state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_half_precision_stays_half(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], tmp_path: Path
) -> None:
    torch.save(Uformer(VARIANTS["uformer_16"]).half().state_dict(), tmp_path / "half.pth")
    path = make_fetcher(serve(Server((tmp_path / "half.pth").read_bytes())).url).fetch("denoise_x")
    with safe_open(path, framework="pt") as file:
        assert file.get_slice("output_proj.proj.0.bias").get_dtype() == "F16"


def test_installed_model_is_not_downloaded_again(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes
) -> None:
    server = serve(Server(official))
    fetcher = make_fetcher(server.url)
    assert fetcher.fetch("denoise_x") == fetcher.fetch("denoise_x")
    assert len(server.requests) == 1
    fetcher.fetch("denoise_x", force=True)
    assert len(server.requests) == 2


def test_broken_transfer_goes_on_where_it_stopped(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes
) -> None:
    server = serve(Server(official, breaks=[1_000_000, 500_000]))
    make_fetcher(server.url).fetch("denoise_x")
    assert [wanted for _, wanted in server.requests] == [None, "bytes=1000000-", "bytes=1500000-"]


def test_next_call_goes_on_where_the_last_one_gave_up(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes, fetched: Path
) -> None:
    server = serve(Server(official, breaks=[700_000, 0, 0, 0, 0]))
    with pytest.raises(Conflict) as caught:
        make_fetcher(server.url).fetch("denoise_x")
    assert caught.value.code == "fetch_failed"
    assert "python -m hub fetch denoise_x" in caught.value.message
    assert (fetched / "Official_file.pth.part").stat().st_size == 700_000
    server.breaks.clear()
    make_fetcher(server.url).fetch("denoise_x")
    assert server.requests[-1][1] == "bytes=700000-"


def test_complete_download_of_a_killed_process_is_not_sent_again(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes, fetched: Path
) -> None:
    server = serve(Server(official))
    fetched.mkdir()
    (fetched / "Official_file.pth.part").write_bytes(official)
    (fetched / "Official_file.pth.part.json").write_text(json.dumps({"validator": '"v1"', "size": len(official)}))
    make_fetcher(server.url).fetch("denoise_x")
    assert server.requests == [("/models/Official_file.pth", f"bytes={len(official)}-")]


@pytest.mark.parametrize(("etag", "ranges"), [('"v2"', True), (None, True), ('W/"v1"', True), ('"v1"', False)])
def test_other_version_or_plain_server_starts_anew(
    serve: Callable[[Server], Server],
    make_fetcher: Callable[..., Fetcher],
    official: bytes,
    fetched: Path,
    etag: str | None,
    ranges: bool,
) -> None:
    server = serve(Server(official, etag=etag, ranges=ranges))
    fetched.mkdir()
    (fetched / "Official_file.pth.part").write_bytes(b"x" * 1000)
    (fetched / "Official_file.pth.part.json").write_text(json.dumps({"validator": '"v1"', "size": len(official)}))
    path = make_fetcher(server.url).fetch("denoise_x")
    assert inspect(path).variant == "uformer_16"


def test_part_of_another_version_is_never_joined(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes, fetched: Path
) -> None:
    """Also when the server ignores If-Range: its answer's own ETag tells."""
    server = serve(Server(official, etag='"v2"'))
    fetched.mkdir()
    part = fetched / "Official_file.pth.part"
    part.write_bytes(b"x" * 1000)
    (fetched / "Official_file.pth.part.json").write_text(json.dumps({"validator": '"v2"', "size": 5000}))
    path = make_fetcher(server.url).fetch("denoise_x")
    assert [wanted for _, wanted in server.requests] == ["bytes=1000-", None]
    assert inspect(path).variant == "uformer_16"


def test_next_address_serves_where_one_does_not(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes
) -> None:
    missing = serve(Server(b"", status=404))
    page = serve(Server(b"<!DOCTYPE html><html>Log in to this hotel's network</html>"))
    busy = serve(Server(b"", status=503))
    good = serve(Server(official))
    fetcher = make_fetcher(unused_address(), missing.url, page.url, busy.url, good.url)
    assert fetcher.fetch("denoise_x").exists()
    assert [len(server.requests) for server in (missing, page, busy, good)] == [1, 1, downloading.ATTEMPTS, 1]


def test_failure_names_every_address_and_its_reason(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher]
) -> None:
    missing = serve(Server(b"", status=404))
    page = serve(Server(b"<!DOCTYPE html><html>Log in</html>"))
    with pytest.raises(Conflict) as caught:
        make_fetcher(missing.url, page.url, unused_address(), "nonsense").fetch("denoise_x")
    assert caught.value.code == "fetch_failed"
    for reason in ("answers 404 Not Found", "web page", "cannot be reached", "nonsense"):
        assert reason in caught.value.message
    assert len(caught.value.data["failures"]) == 4


def test_other_architecture_than_the_manifest_says_is_refused(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], tmp_path: Path
) -> None:
    torch.save(Uformer(VARIANTS["uformer_t"]).state_dict(), tmp_path / "t.pth")
    with pytest.raises(Conflict, match="weights of uformer_t, not of uformer_16"):
        make_fetcher(serve(Server((tmp_path / "t.pth").read_bytes())).url).fetch("denoise_x")


def test_changed_official_file_is_refused_and_the_old_one_stays(
    serve: Callable[[Server], Server],
    make_fetcher: Callable[..., Fetcher],
    official: bytes,
    fetched: Path,
    tmp_path: Path,
) -> None:
    server = serve(Server(official))
    fetcher = make_fetcher(server.url)
    path = fetcher.fetch("denoise_x")
    before = path.read_bytes()
    torch.save(Uformer(VARIANTS["uformer_16"]).state_dict(), tmp_path / "new.pth")
    server.content, server.etag = (tmp_path / "new.pth").read_bytes(), '"v2"'
    with pytest.raises(Conflict, match="not the first download's") as caught:
        fetcher.fetch("denoise_x", force=True)
    assert caught.value.code == "checksum_mismatch"
    assert path.read_bytes() == before
    assert not list(fetched.glob("*.part*"))
    path.unlink()
    with pytest.raises(Conflict, match="not the first download's"):
        fetcher.fetch("denoise_x")


def test_checksum_of_the_manifest_and_of_the_server_are_compared(
    serve: Callable[[Server], Server],
    make_fetcher: Callable[..., Fetcher],
    catalog: Catalog,
    official: bytes,
    tmp_path: Path,
) -> None:
    digest = hashlib.sha256(official).hexdigest()
    server = serve(Server(official, redirect_sha256="1" * 64))
    with pytest.raises(Conflict, match="is not its own 111"):
        make_fetcher(server.url).fetch("denoise_x")
    manifest = tmp_path / "weights" / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"sha256": null', f'"sha256": "{"2" * 64}"'), encoding="utf-8")
    server.redirect_sha256 = digest
    with pytest.raises(Conflict, match="is not the manifest's 222"):
        make_fetcher(server.url).fetch("denoise_x")
    manifest.write_text(text.replace('"sha256": null', f'"sha256": "{digest}"'), encoding="utf-8")
    assert make_fetcher(server.url).fetch("denoise_x").exists()


def test_damaged_record_is_an_error_and_not_forgotten(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes, fetched: Path
) -> None:
    fetched.mkdir()
    (fetched / "fetched.json").write_text("{")
    with pytest.raises(Conflict, match="remove it to start anew") as caught:
        make_fetcher(serve(Server(official)).url).fetch("denoise_x")
    assert caught.value.code == "bad_ledger"


def test_full_disk_is_noticed_before_the_transfer(
    serve: Callable[[Server], Server],
    make_fetcher: Callable[..., Fetcher],
    official: bytes,
    fetched: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = SimpleNamespace(free=downloading.RESERVE + len(official))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(Busy) as caught:
        make_fetcher(serve(Server(official)).url).fetch("denoise_x")
    assert caught.value.code == "disk_full"
    assert not list(fetched.glob("*.part"))


def test_callers_at_once_share_one_download(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes
) -> None:
    server = serve(Server(official, pause=0.002))
    fetcher = make_fetcher(server.url)
    paths: list[Path] = []
    progress: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: paths.append(fetcher.fetch("denoise_x", progress=lambda now, total: progress.append(now)))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert len(paths) == 4
    assert len(server.requests) == 1
    assert progress.count(len(official)) == 4


def test_two_processes_share_one_download(
    serve: Callable[[Server], Server], catalog: Catalog, official: bytes, fetched: Path
) -> None:
    """Two fetchers know nothing of each other, like two processes."""
    server = serve(Server(official, pause=0.002))
    fetchers = [Fetcher(catalog, fetched, [server.url]) for _ in range(2)]
    threads = [threading.Thread(target=fetcher.fetch, args=("denoise_x",)) for fetcher in fetchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1


def test_cancelled_caller_leaves_at_once_and_the_last_one_stops_the_download(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes, fetched: Path
) -> None:
    server = serve(Server(official, pause=0.02))
    fetcher = make_fetcher(server.url)
    begun = threading.Event()
    stop = [threading.Event(), threading.Event()]
    ended: list[str] = []

    def ask(number: int) -> None:
        try:
            fetcher.fetch("denoise_x", progress=lambda *_: begun.set(), cancelled=stop[number].is_set)
        except Cancelled:
            ended.append(str(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    stop[0].set()
    threads[0].join(10)
    assert ended == ["0"]
    part = fetched / "Official_file.pth.part"
    size = part.stat().st_size
    deadline = time.monotonic() + 30
    while part.stat().st_size == size and time.monotonic() < deadline:
        time.sleep(0.01)
    assert part.stat().st_size > size  # The other caller still waits.
    stop[1].set()
    threads[1].join(10)
    assert ended == ["0", "1"]
    assert part.exists()
    server.pause = 0.0
    assert fetcher.fetch("denoise_x").exists()
    assert server.requests[-1][1] is not None


def test_models_without_an_official_file_are_not_fetched(make_fetcher: Callable[..., Fetcher]) -> None:
    with pytest.raises(Conflict, match=r"put shipped\.safetensors back"):
        make_fetcher("http://127.0.0.1:9").fetch("shipped")
    with pytest.raises(InvalidInput, match="no model 'nothing'"):
        make_fetcher("http://127.0.0.1:9").fetch("nothing")


def test_reachable_tells_whether_any_address_delivers(
    serve: Callable[[Server], Server], make_fetcher: Callable[..., Fetcher], official: bytes
) -> None:
    good, missing = serve(Server(official)), serve(Server(b"", status=404))
    assert make_fetcher(unused_address(), good.url).reachable("denoise_x")
    assert not make_fetcher(missing.url, unused_address()).reachable("denoise_x")
    assert not make_fetcher(good.url).reachable("shipped")
    fetcher = make_fetcher(good.url)
    assert fetcher.reachable("denoise_x")
    good.status = 404
    assert fetcher.reachable("denoise_x")  # Known for a while.


def test_reachable_does_not_wait_for_a_silent_server(make_fetcher: Callable[..., Fetcher]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fetcher = make_fetcher(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert not fetcher.reachable("denoise_x")
        assert time.monotonic() - began < 5
