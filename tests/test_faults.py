"""What goes wrong around the hub: it says so, it lives, and once the fault is gone it works as before.

Each test proves that its fault happened. The long form, with a database that is locked for 30 seconds and decoders
killed again and again: `scripts/test tests/test_faults.py --long`.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from hub.settings import CHECKOUT

from .conftest import Server
from .faulty import Client, eventually, kill_children, open_files, photo

MEGABYTE = 1_000_000
TILE = 384


@pytest.fixture
def long_form(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server that survives all of this, but for full disks; its weights are its own."""
    folder = tmp_path_factory.mktemp("faults")
    shutil.copytree(CHECKOUT / "weights", folder / "weights")
    server = Server(
        folder,
        page="0",
        weights_dir=str(folder / "weights"),
        image_workers="1",
        segment_seconds="0.1",
        cpu_backend="torch",
        precision="float32",
        tile=str(TILE),
    )
    server.start()
    try:
        yield server
        server.stop()
        assert "failed unexpectedly" not in server.log, server.log
        assert not [path for path in (server.data_dir / "tmp").rglob("*") if path.is_file()]
    finally:
        server.clear()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.address) as client:
        client.check_works()
        yield client
        client.check_works()


def uploads(server: Server) -> int:
    return len(list((server.data_dir / "uploads").iterdir()))


def test_a_locked_database(server: Server, client: Client, long_form: bool) -> None:
    """Another program holds the write lock: who reads is answered, who writes waits for a while; nothing is lost."""
    seconds = 30 if long_form else 2
    kept = uploads(server)
    before = [client.accepted() for _ in range(3)]
    with ThreadPoolExecutor(8) as threads:
        locker = sqlite3.connect(server.data_dir / "hub.sqlite3", isolation_level=None, timeout=30)
        locker.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        posts = [threads.submit(client.post) for _ in range(4)]
        while time.monotonic() < began + seconds:
            for task in before:
                asked = time.monotonic()
                client.status(task)
                assert time.monotonic() - asked < 2, "A poll waited for the lock."
            assert client.http.get("/health").status_code == 200
            time.sleep(0.1)
        refused = [post.result() for post in posts if post.done()]
        locker.execute("ROLLBACK")
        locker.close()
        answers = [post.result() for post in posts]
    # Nobody could write, so the database was really locked. Who waits too long is told so, and to come again.
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} <= {(503, "database_unavailable")}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert bool(refused) == long_form
    answers = [client.post() if answer in refused else answer for answer in answers]
    assert [answer.status_code for answer in answers] == [202] * 4
    for task in [*before, *(answer.json()["task_id"] for answer in answers)]:
        assert client.end(task)["status"] == "completed"
    assert uploads(server) == kept + len(before) + len(answers)


def test_a_model_file_that_goes_or_is_replaced_by_garbage(server: Server, client: Client) -> None:
    """Those who come are told at once, those who wait when it is their turn, and a sound file puts all right."""
    (model,) = (server.data_dir.parent / "weights").glob("*.safetensors")
    sound = model.read_bytes()
    for damage, code in (
        (lambda: model.write_bytes(sound[: len(sound) // 2]), "weights_unusable"),
        (lambda: model.write_bytes(b"{}" * 50), "weights_unusable"),
        (model.unlink, "weights_not_installed"),
    ):
        waiting = [client.accepted(photo(200)) for _ in range(2)]
        client.restoring(waiting[0])
        damage()
        try:
            answer, unready = client.post(model_name="denoise_16"), client.ready()
            ends = [client.end(task) for task in waiting]
        finally:
            model.write_bytes(sound)
        assert (answer.status_code, answer.json()["code"]) == (409, code), answer.text
        assert "No model can be used" in unready["models"]
        # The first one holds the model already and goes on with it.
        assert ends[0]["status"] == "completed", ends[0]
        assert ends[1]["status"] == "failed", ends[1]
        assert ends[1]["code"] == code, ends[1]
        assert client.ready() == {}
        client.check_works()


def lose_a_decoder(server: Server, files: Path) -> None:
    """Kill what reads an upload until that was a decoder: headers and previews are read by others."""
    told = len(server.log)

    def lost() -> bool:
        if "decoder lost on" in server.log[told:]:
            return True
        kill_children(server, "hub.media.worker", files)
        return False

    eventually(lost, "None decodes.")


def test_a_photos_decoder_killed_in_the_middle(server: Server, client: Client, long_form: bool) -> None:
    """Killed once, the photo gets another decoder; killed twice it fails in words, but is not called damaged."""
    large, files = photo(2000), server.data_dir / "uploads"
    for kills in (1, 2) * (3 if long_form else 1):
        told = len(server.log)
        task = client.accepted(large)
        for _ in range(kills):
            lose_a_decoder(server, files)
        if kills == 1:
            client.restoring(task)
            client.http.delete(f"/api/tasks/{task}")
        else:
            ended = client.end(task)
            assert (ended["status"], ended["code"]) == ("failed", "decoder_lost"), f"{ended}\n{server.log}"
        assert server.log[told:].count("decoder lost on") == kills, "It was not killed while it decoded."
        client.check_works()


def test_a_clips_decoder_killed_in_the_middle(
    server: Server, client: Client, make_clip: Callable[..., Path], long_form: bool
) -> None:
    """The clip fails in words, and goes on after its last finished segment."""
    clip = make_clip(frames=24).read_bytes()
    for _ in range(5 if long_form else 1):
        task = client.accepted(clip, "video")
        eventually(lambda: any(server.data_dir.rglob("000000.json")), "No segment is finished.")
        assert kill_children(server, "hub.media.video.worker")
        ended = client.end(task, "video")
        assert ended["status"] == "failed", ended
        assert any(word in ended["error"] for word in ("crash", "memory", "ended")), ended
        assert client.http.post(f"/api/tasks/{task}/resume").status_code == 200
        done = client.end(task, "video")
        assert done["status"] == "completed", done
        assert done["result"]["frames"] == 24
        assert done["result"]["resumed_segments"] > 0, done


def test_an_engine_out_of_memory(server: Server, client: Client) -> None:
    """The process may not grow any more: the work is done after all, in smaller tiles if need be, or fails in words."""
    process = psutil.Process(server.process.pid)
    before = client.metric("uformer_hub_out_of_memory_total")
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + 64 * MEGABYTE, -1))
    ended = client.end(client.accepted(photo(TILE)))
    process.rlimit(psutil.RLIMIT_AS, (-1, -1))
    assert client.metric("uformer_hub_out_of_memory_total") > before, "The memory sufficed."
    assert ended["status"] == "completed" or ended["code"] == "out_of_memory", f"{ended}\n{server.log}"


def test_clients_that_leave_in_the_middle(server: Server, client: Client) -> None:
    """Of an upload that breaks off nothing stays; a download that breaks off harms nobody."""
    head = (
        b"POST /api/process_image HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        b'Content-Disposition: form-data; name="image_file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    )
    done = client.end(client.accepted(photo(400), output_format="png"))
    kept, taken = uploads(server), client.http.get("/api/tasks", params={"limit": 1}).json()["tasks"]
    pid, temporary = server.process.pid, server.data_dir / "tmp"
    others = open_files(pid, temporary)
    for sent in (0, 5_000_000):
        with socket.create_connection(("127.0.0.1", server.port)) as leaver:
            leaver.sendall(head + bytes(sent))
            if sent:
                eventually(lambda: open_files(pid, temporary) - others, "The upload does not come in.")
    eventually(lambda: not open_files(pid, temporary) - others, "The upload is kept.")
    assert uploads(server) == kept
    assert client.http.get("/api/tasks", params={"limit": 1}).json()["tasks"] == taken

    result = server.results_dir.parent / done["result_path"].lstrip("/")
    os.truncate(result, 20_000_000)  # As long as a clip: it must not fit into what sockets buffer.
    leavers = [socket.socket() for _ in range(5)]
    for leaver in leavers:
        leaver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        leaver.connect(("127.0.0.1", server.port))
        leaver.sendall(f"GET {done['result_path']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert leaver.recv(12) == b"HTTP/1.1 200"
    assert open_files(pid, server.results_dir), "The downloads are over already."
    for leaver in leavers:
        leaver.close()
    eventually(lambda: not open_files(pid, server.results_dir), "The result is held for someone who has left.")
    assert len(client.http.get(done["result_path"]).content) == 20_000_000
