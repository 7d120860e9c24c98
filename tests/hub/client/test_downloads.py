"""Downloads: whole or not at all, taken up again where they broke off, never over a file by accident."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from hub.client import BESIDE, NotCompleted, NotFoundError, TaskFailed, Unreachable
from hub.client.targets import locate, result_name

BODY = bytes(range(256)) * 4000
PATH = "/static_results/images/denoise/processed/1678886400_a1b2c3d4_5b0c9f31_enhanced_my%20photo.png"
DONE = {"status": "completed", "progress": 100, "result_path": PATH, "result": {"notes": ["x"]}}
CONFIRMED = {"message": "Download confirmed."}
TAG = {"ETag": '"one"'}


def ranged(acts: Any, start: int, body: bytes = BODY) -> Any:
    return acts.reply(206, body[start:], Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}", **TAG)


def test_into_memory(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(200, DONE), acts.reply(200, BODY), acts.reply(200, CONFIRMED)]
    result = connect(scripted.address).task("a").download()
    assert result.content == BODY
    assert (result.task_id, result.filename, result.path) == ("a", "enhanced_my photo.png", None)
    assert result.details == {"notes": ["x"]}
    assert scripted.paths == ["GET /api/tasks/a", f"GET {PATH}", "POST /api/confirm_download"]
    assert PATH.encode() in scripted.seen[2].body


def test_it_goes_on_after_every_break(connect: Any, scripted: Any, acts: Any, tmp_path: Path) -> None:
    half = len(BODY) // 2
    scripted.script = [
        acts.reply(200, DONE),
        acts.lose(),
        acts.cut(BODY, half, **TAG),
        acts.reply(503, {"code": "x", "detail": "x"}, Retry_After="0"),
        acts.cut(BODY[half:], 1000, 206, Content_Range=f"bytes {half}-{len(BODY) - 1}/{len(BODY)}", **TAG),
        ranged(acts, half + 1000),
        acts.reply(200, CONFIRMED),
    ]
    result = connect(scripted.address).task("a").download(tmp_path / "out.png")
    assert result.path == tmp_path / "out.png"
    assert result.path.read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
    ranges = [(seen.headers.get("Range"), seen.headers.get("If-Range")) for seen in scripted.seen[1:6]]
    assert ranges == [
        (None, None),
        (None, None),
        (f"bytes={half}-", '"one"'),
        (f"bytes={half}-", '"one"'),
        (f"bytes={half + 1000}-", '"one"'),
    ]


@pytest.mark.parametrize("how", ["changed", "no tag", "not satisfiable", "other range"])
def test_it_begins_anew_where_it_must(connect: Any, scripted: Any, acts: Any, how: str) -> None:
    tag = {} if how == "no tag" else TAG
    again = {
        "changed": [acts.reply(200, BODY, ETag='"two"')],
        "no tag": [acts.reply(200, BODY)],
        "not satisfiable": [acts.reply(416, {}, Content_Range="bytes */9"), acts.reply(200, BODY)],
        "other range": [acts.reply(206, BODY, Content_Range=f"bytes 0-{len(BODY) - 1}/{len(BODY)}")],
    }[how]
    scripted.script = [acts.reply(200, DONE), acts.cut(b"old" * 5000, 9000, **tag), *again, acts.reply(200, CONFIRMED)]
    if how == "other range":
        scripted.script[2] = ranged(acts, 0)
    assert connect(scripted.address).task("a").download().content == BODY


def test_what_breaks_for_good_leaves_nothing(connect: Any, scripted: Any, acts: Any, tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"before")
    scripted.script = [acts.reply(200, DONE), *[acts.cut(BODY, 0, **TAG) for _ in range(1000)]]
    with pytest.raises(Unreachable):
        connect(scripted.address, patience=0.2).task("a").download(tmp_path / "out.png")
    scripted.script = [acts.reply(200, DONE), acts.reply(404, {"code": "result_not_found", "detail": "Gone."})]
    with pytest.raises(NotFoundError, match="Gone"):
        connect(scripted.address).task("a").download(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
    assert (tmp_path / "out.png").read_bytes() == b"before"


def test_a_named_file_is_replaced_and_a_folder_keeps_all(
    connect: Any, scripted: Any, acts: Any, tmp_path: Path
) -> None:
    scripted.script = [acts.reply(200, DONE), acts.reply(200, BODY), acts.reply(200, CONFIRMED)] * 4
    task = connect(scripted.address).task("a")
    named = tmp_path / "named.png"
    named.write_bytes(b"old")
    assert task.download(named).path == named
    assert named.read_bytes() == BODY
    for name in ("enhanced_my photo.png", "enhanced_my photo (2).png", "enhanced_my photo (3).png"):
        assert task.download(f"{tmp_path}/made/here/").path == tmp_path / "made" / "here" / name


def test_without_confirmation(connect: Any, scripted: Any, acts: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Not asked for, or not possible: the result is there either way."""
    scripted.script = [acts.reply(200, DONE), acts.reply(200, BODY)]
    hub = connect(scripted.address)
    assert hub.task("a").download(confirm=False).content == BODY
    assert len(scripted.seen) == 2
    gone = acts.reply(404, {"code": "result_not_found", "detail": "Gone."})
    scripted.script = [acts.reply(200, DONE), acts.reply(200, BODY), gone]
    with caplog.at_level(logging.WARNING):
        assert hub.task("a").download().content == BODY
    assert "could not be confirmed: Gone." in caplog.text


def test_before_the_end_and_after_a_bad_one(connect: Any, scripted: Any, acts: Any) -> None:
    task = connect(scripted.address).task("a")
    scripted.script = [acts.reply(200, {"status": "processing", "progress": 3})]
    with pytest.raises(NotCompleted, match="is processing"):
        task.download()
    scripted.script = [acts.reply(200, {"status": "failed", "error": "No.", "code": "x", "resumable": False})]
    with pytest.raises(TaskFailed):
        task.download()
    scripted.script = [acts.reply(200, {"status": "completed", "progress": 100, "result": {}})]
    with pytest.raises(ValueError, match="none that makes a file"):
        task.download()


def test_a_result_elsewhere_is_not_fetched(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(200, {**DONE, "result_path": "http://elsewhere/x.png"})]
    with pytest.raises(ValueError, match="begins with a slash"):
        connect(scripted.address, api_key="secret").task("a").download()
    assert len(scripted.seen) == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (PATH, "enhanced_my photo.png"),
        ("/static_results/images/denoise/processed/1678886400_a1b2c3d4_enhanced_image.jpg", "enhanced_image.jpg"),
        ("/static_results/plain.png", "plain.png"),
        ("/static_results/x_enhanced_..%2F..%2Fetc%2Fpasswd", "enhanced_.._.._etc_passwd"),
        ("/static_results/..", "result"),
        ("/static_results/", "result"),
    ],
)
def test_the_results_own_name(path: str, name: str) -> None:
    assert result_name(path) == name


def test_a_wrong_target_shows_before_anything_is_sent(connect: Any, scripted: Any, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"x")
    hub = connect(scripted.address)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        hub.denoise(tmp_path / "photo.png", to=tmp_path / "nowhere" / "x.png")
    with pytest.raises(TypeError, match="BESIDE wants a file"):
        hub.denoise(b"x", to=BESIDE)
    assert scripted.seen == []
    assert locate(BESIDE, tmp_path / "photo.png") == tmp_path
    assert repr(BESIDE) == "BESIDE"
