from __future__ import annotations

from pathlib import Path

import pytest

from hub.cli.plan import Item
from hub.cli.targets import Targets, choose_target
from hub.errors import Conflict, InvalidInput


@pytest.mark.parametrize(
    ("name", "own_format", "own_suffix", "expected"),
    [
        ("a.jpg", "jpeg", ".jpg", ("a.jpg", "same")),
        ("a.JPEG", "jpeg", ".jpg", ("a.JPEG", "same")),
        ("a.tif", "tiff", ".tiff", ("a.tif", "same")),
        ("a.heic", "heic", ".heic", ("a.heic", "same")),
        ("a.cr2", "raw", ".png", ("a.png", "same")),
        ("holiday", "png", ".png", ("holiday.png", "same")),
        ("v1.2", "png", ".png", ("v1.2.png", "same")),
        ("jpeg-inside.png", "jpeg", ".jpg", ("jpeg-inside.png", "png")),
        ("too-wide.webp", "webp", ".png", ("too-wide.png", "same")),
    ],
)
def test_a_result_keeps_its_inputs_name_and_format(
    name: str, own_format: str, own_suffix: str, expected: tuple[str, str]
) -> None:
    target, file_format = choose_target(Item(Path(name), Path("out") / name, exact=False), own_format, own_suffix)
    assert (target, file_format) == (Path("out") / expected[0], expected[1])


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("x.png", "png"),
        ("x.JPG", "same"),
        ("x.jpeg", "same"),
        ("x.webp", "webp"),
        ("x.tif", "tiff"),
        ("x.avif", "avif"),
    ],
)
def test_a_named_output_decides_the_format(output: str, expected: str) -> None:
    item = Item(Path("in.jpg"), Path(output), exact=True)
    assert choose_target(item, "jpeg", ".jpg") == (Path(output), expected)


def test_a_format_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"cannot be written as \.heic .* choose one of \.avif, .*\.webp"):
        choose_target(Item(Path("in.png"), Path("out.heic"), exact=True), "png", ".png")


def test_no_two_photos_go_to_one_file(tmp_path: Path) -> None:
    targets = Targets(overwrite=True)
    targets.claim(tmp_path / "x.png", Path("a/x.png"))
    targets.claim(tmp_path / "x.png", Path("a/x.png"))
    with pytest.raises(Conflict, match=r"is where a/x\.png goes"):
        targets.claim(tmp_path / "x.png", Path("b/x.png"))


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    target.write_bytes(b"old")
    with pytest.raises(Conflict, match="exists and was kept; --overwrite replaces it"):
        Targets(overwrite=False).claim(target, Path("a.png"))
    targets = Targets(overwrite=True)
    targets.claim(target, Path("a.png"))
    with targets.writing(target) as partial:
        partial.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "x.png"

    def write() -> None:
        with Targets(overwrite=False).writing(target) as partial:
            partial.write_bytes(b"new")
            target.write_bytes(b"came meanwhile")

    with pytest.raises(Conflict, match="kept"):
        write()
    assert target.read_bytes() == b"came meanwhile"
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "x.png"

    def write() -> None:
        with Targets(overwrite=False).writing(target) as partial:
            partial.write_bytes(b"hal")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(target.parent.iterdir()) == []
