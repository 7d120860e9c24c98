from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from hub.errors import Busy, Cancelled, Conflict, InvalidInput, NotFound, TooLarge
from hub.jobs.model import Job, Kind
from hub.results import FileStore


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "data", tmp_path / "results", max_upload_bytes=3_000_000, min_free_bytes=0)


@pytest.fixture
def job() -> Job:
    return Job.new(Kind.IMAGE, "denoise", {}, "My photo.jpg")


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def publish(files: FileStore, job: Job, content: bytes = b"result", suffix: str = ".png") -> str:
    return files.publish(job, suffix, lambda path: path.write_bytes(content))


def test_an_upload_is_kept_under_a_clean_name(files: FileStore, job: Job, tmp_path: Path) -> None:
    content = os.urandom(2_500_000)
    path = files.save_upload(job.id, "../My photo.jpg", io.BytesIO(content))
    assert path == tmp_path / "data" / "uploads" / job.id / "My_photo.jpg"
    assert path.read_bytes() == content
    assert files.upload(job.id) == path


@pytest.mark.parametrize(
    ("content", "error", "code"),
    [(b"", InvalidInput, "empty_file"), (bytes(3_000_001), TooLarge, "upload_too_large")],
)
def test_a_refused_upload_leaves_nothing(
    files: FileStore, job: Job, tmp_path: Path, content: bytes, error: type[InvalidInput], code: str
) -> None:
    with pytest.raises(error) as raised:
        files.save_upload(job.id, "a.png", io.BytesIO(content))
    assert raised.value.code == code
    assert list((tmp_path / "data" / "uploads").iterdir()) == []
    with pytest.raises(NotFound):
        files.upload(job.id)


def test_an_upload_that_breaks_off_leaves_nothing(files: FileStore, job: Job, tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ConnectionError("gone")
            return super().read(10)

    with pytest.raises(ConnectionError):
        files.save_upload(job.id, "a.png", Broken(bytes(100)))
    assert list((tmp_path / "data" / "uploads").iterdir()) == []


def test_a_nearly_full_disk_refuses_uploads(tmp_path: Path, job: Job) -> None:
    files = FileStore(tmp_path / "data", tmp_path / "results", max_upload_bytes=10, min_free_bytes=1 << 62)
    with pytest.raises(Busy) as raised:
        files.save_upload(job.id, "a.png", io.BytesIO(b"abc"))
    assert raised.value.code == "disk_full"
    assert raised.value.retry_after > 0
    assert list((tmp_path / "data" / "uploads").iterdir()) == []


def test_a_disk_that_fills_up_while_a_result_is_written_is_told_plainly(
    files: FileStore, job: Job, tmp_path: Path
) -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Busy, match="disk is nearly full"):
        files.publish(job, ".png", write)
    assert everything(tmp_path / "results") == []


def test_a_result_is_named_as_the_contract_says(files: FileStore, job: Job, tmp_path: Path) -> None:
    path = publish(files, job)
    folder, name = path.rsplit("/", 1)
    assert folder == "/static_results/images/denoise/processed"
    assert name == f"{int(job.created_at)}_{job.id[:8]}_{job.secret}_enhanced_My_photo.png"
    assert len(bytes.fromhex(job.secret)) * 8 >= 96
    assert files.resolve(path) == tmp_path / "results" / "images" / "denoise" / "processed" / name
    assert files.resolve(path).read_bytes() == b"result"


def test_a_name_in_another_script_is_percent_encoded_in_the_url(files: FileStore, job: Job) -> None:
    path = publish(files, replace(job, filename="写真 1.jpg"))
    assert path.isascii()
    assert unquote(path).endswith("_enhanced_写真_1.png")
    assert files.resolve(path) == files.resolve(unquote(path))


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_another_run_replaces_its_own_result(files: FileStore, job: Job, tmp_path: Path, suffix: str) -> None:
    other = publish(files, replace(job, secret="0" * 24), b"other")
    publish(files, job, b"first")
    second = publish(files, job, b"second", suffix)
    assert files.resolve(second).read_bytes() == b"second"
    assert files.resolve(other).read_bytes() == b"other"
    assert len(everything(tmp_path / "results")) == 2


def test_a_half_written_result_cannot_be_fetched(files: FileStore, job: Job, tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        assert path.suffix == ".png"
        for url_path in (f"/static_results/{path.relative_to(tmp_path / 'results')}", f"/static_results/{path.name}"):
            with pytest.raises(NotFound):
                files.resolve(url_path)
            with pytest.raises(NotFound):
                files.resolve(url_path.replace(".partial", "%2Epartial"))
        assert [name for name in everything(tmp_path / "results") if "_enhanced_" in name] == []
        path.write_bytes(b"whole")

    assert files.resolve(files.publish(job, ".png", write)).read_bytes() == b"whole"


def test_a_failed_write_leaves_the_former_result(files: FileStore, job: Job, tmp_path: Path) -> None:
    path = publish(files, job, b"former")

    def fail(partial: Path) -> None:
        partial.write_bytes(b"half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        files.publish(job, ".png", fail)
    with pytest.raises(RuntimeError, match="Nothing was written"):
        files.publish(job, ".png", lambda partial: None)
    assert files.resolve(path).read_bytes() == b"former"
    assert len(everything(tmp_path / "results")) == 1


def test_a_check_prevents_the_move(files: FileStore, job: Job, tmp_path: Path) -> None:
    def refuse() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        files.publish(job, ".png", lambda path: path.write_bytes(b"x") and None, check=refuse)
    assert everything(tmp_path / "results") == []


@pytest.mark.parametrize("suffix", ["png", ".", ".p/g", "..png", ".PNG", ""])
def test_a_suffix_that_is_none_is_refused(files: FileStore, job: Job, suffix: str) -> None:
    with pytest.raises(ValueError, match="suffix"):
        publish(files, job, suffix=suffix)


def test_a_task_cannot_lead_out_of_the_folder(files: FileStore, job: Job) -> None:
    with pytest.raises(ValueError, match="names a folder"):
        publish(files, replace(job, task="../../x"))


def test_nothing_but_results_resolves(files: FileStore, job: Job, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    results = tmp_path / "results"
    (results / ".hidden").write_text("hidden")
    (results / "link.txt").symlink_to(tmp_path / "secret.txt")
    (results / "folder").symlink_to(tmp_path)
    publish(files, job)
    link = f"images/denoise/processed/1_a1b2c3d4_{'0' * 24}_enhanced_link.txt"
    (results / link).symlink_to(tmp_path / "secret.txt")
    for path in (
        f"/static_results/{link}",
        "/static_results/../secret.txt",
        "/static_results/%2e%2e/secret.txt",
        "/static_results/..%2fsecret.txt",
        "/static_results/%252e%252e/secret.txt",
        "/static_results/images/../../secret.txt",
        "/static_results/..\\secret.txt",
        "/static_results/.hidden",
        "/static_results/link.txt",
        "/static_results/folder/secret.txt",
        "/static_results//etc/passwd",
        f"/static_results/{quote(str(tmp_path / 'secret.txt'))}",
        "/static_results/images/denoise/processed",
        "/static_results/images/denoise/processed/",
        "/static_results/",
        "/static_results",
        "/other/secret.txt",
        "/static_results/a\x00b",
        "/static_results/%00",
        "/static_results/" + "a" * 5000,
        "",
    ):
        with pytest.raises(NotFound):
            files.resolve(path)


def test_deleting_removes_all_of_one_job_and_nothing_else(files: FileStore, job: Job, tmp_path: Path) -> None:
    other = Job.new(Kind.IMAGE, "denoise", {}, "other.jpg")
    for each in (job, other):
        files.save_upload(each.id, each.filename, io.BytesIO(b"abc"))
        (files.make_job_dir(each.id) / "pixels.npy").write_bytes(b"abc")
        publish(files, each)
    files.delete(job)
    files.delete(job)
    assert files.stored_ids() == {other.id}
    assert len(everything(tmp_path / "results")) == 1
    assert files.upload(other.id).read_bytes() == b"abc"


def test_a_kept_file_may_lie_in_a_folder(files: FileStore, job: Job, tmp_path: Path) -> None:
    files.keep(job.id, "segments/0001.mp4", lambda path: path.write_bytes(b"first"))
    files.keep(job.id, "segments/0001.mp4", lambda path: path.write_bytes(b"second"), staged=True)
    files.keep(job.id, "segments/0002.mp4", lambda path: path.write_bytes(b"dropped"), staged=True)
    folder = files.job_dir(job.id) / "segments"
    assert (folder / "0001.mp4").read_bytes() == b"first"
    path = files.stage(job, ".mp4", lambda path: path.write_bytes(b"result"))
    files.put_staged(job, path, ["segments/0001.mp4"])
    files.discard_staged(job)
    assert (folder / "0001.mp4").read_bytes() == b"second"
    files.unkeep(job.id, "segments/0001.mp4")
    files.unkeep(job.id, "elsewhere/0001.mp4")
    assert everything(tmp_path / "data" / "jobs") == []
    (folder / "deeper").mkdir()
    (folder / "deeper" / "segment.mp4").write_bytes(b"frames")
    files.delete(job)
    assert list((tmp_path / "data" / "jobs").iterdir()) == []


def test_an_upload_is_there_or_not(files: FileStore, job: Job) -> None:
    assert not files.has_upload(job.id)
    path = files.save_upload(job.id, "a.mp4", io.BytesIO(b"abc"))
    assert files.has_upload(job.id)
    path.unlink()
    assert not files.has_upload(job.id)


def test_a_sweep_removes_what_no_job_owns(files: FileStore, job: Job, tmp_path: Path) -> None:
    orphan = Job.new(Kind.IMAGE, "denoise", {}, "orphan.jpg")
    for each in (job, orphan):
        files.save_upload(each.id, each.filename, io.BytesIO(b"abc"))
        files.make_job_dir(each.id)
    path = files.resolve(publish(files, job))
    (path.parent / f".partial-{job.id}-00.png").write_bytes(b"half")
    (tmp_path / "data" / "jobs" / ".trash-00").mkdir()
    (tmp_path / "data" / "uploads" / "readme.txt").write_text("not ours")
    files.sweep({job.id})
    assert files.stored_ids() == {job.id}
    assert everything(tmp_path / "results") == [str(path.relative_to(tmp_path / "results"))]
    assert list((tmp_path / "data" / "jobs").iterdir()) == [files.job_dir(job.id)]
    assert (tmp_path / "data" / "uploads" / "readme.txt").exists()


def test_looking_for_a_working_folder_makes_none(files: FileStore, job: Job, tmp_path: Path) -> None:
    files.unkeep(job.id, "a/b")
    files.discard_staged(job)
    assert not files.job_dir(job.id).exists()
    with pytest.raises(NotFound), files.reading(files.job_dir(job.id) / "before.png"):
        pass
    assert list((tmp_path / "data" / "jobs").iterdir()) == []
    assert files.make_job_dir(job.id).is_dir()


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "../../etc", "x" * 36])
def test_ids_that_are_none_lead_nowhere(files: FileStore, job_id: str) -> None:
    with pytest.raises(NotFound):
        files.job_dir(job_id)
    with pytest.raises(NotFound):
        files.upload(job_id)


def test_one_hub_per_data_folder(files: FileStore, tmp_path: Path) -> None:
    files.claim()
    second = FileStore(tmp_path / "data", tmp_path / "other", max_upload_bytes=1, min_free_bytes=0)
    with pytest.raises(Conflict, match="HUB_DATA_DIR") as raised:
        second.claim(timeout=0.05)
    assert raised.value.code == "data_dir_in_use"
    files.release()
    second.claim(timeout=0.05)
    second.release()


def test_a_killed_hub_lets_go_of_the_data_folder(files: FileStore, tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom hub.results import FileStore\n"
        "folder = Path(sys.argv[1])\n"
        "files = FileStore(folder / 'data', folder / 'results', max_upload_bytes=1, min_free_bytes=0)\n"
        "files.claim()\n"
        "print('claimed', flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "claimed\n"
        try:
            with pytest.raises(Conflict):
                files.claim(timeout=0.05)
        finally:
            child.kill()
    files.claim(timeout=5)
    files.release()
