"""The notes that real files give, in the language of the page; the hub itself says them in English."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hub.media.image import PhotoDecoder
from hub.media.output import plan_output
from hub.media.video.counts import Counts
from hub.ui.language import languages, speaking
from hub.ui.notes import note_words

MEDIA = Path(__file__).parents[3] / "hub" / "media"
OTHERS = languages()[1:]
# What fills the gaps of some sentences; a number fills the others.
GAPS = {
    "what": "12 bits",
    "keepers": "prores and lossless keep more",
    "how": "encoded anew as AAC",
    "'even ' if recipe.even else ''": "even ",
    "sides": "sides of at least 16 pixels",
    "'pages' if image.format == 'TIFF' else 'frames'": "frames",
    "'by its colour profile' if sound else 'without a colour profile'": "by its colour profile",
}


@pytest.mark.parametrize(
    ("note", "german"),
    [
        ("First of 3 frames.", "Das erste von 3 Bildern."),
        (
            "The file is cut off: the last 12.5% of the picture is missing.",
            "Die Datei ist abgeschnitten: Die letzten 12,5 % des Bildes fehlen.",
        ),
        (
            "H.264 stores 8 of the clip's 10 bits (HDR) per channel; h265, av1, prores and lossless keep more.",
            "H.264 speichert 8 der 10 Bit (HDR) je Kanal des Clips; h265, av1, prores und lossless behalten mehr.",
        ),
        (
            "The sound stream 1 (opus, eng) does not fit into MP4 and was encoded anew as AAC.",
            "Die Tonspur 1 (opus, eng) passt nicht in MP4 und wurde neu als AAC codiert.",
        ),
        (
            "The subtitle stream 2 (hdmv_pgs_subtitle) was left out: MP4 cannot hold it.",
            "Die Untertitelspur 2 (hdmv_pgs_subtitle) wurde ausgelassen: MP4 fasst sie nicht.",
        ),
        (
            "3 damaged packets of the sound stream 1 (aac) were left out.",
            "Die Tonspur 1 (aac): 3 beschädigte Datenpakete wurden ausgelassen.",
        ),
        (
            "Written as PNG, since camera raw files are not written.",
            "Als PNG geschrieben, denn Kamera-Rohdateien werden nicht geschrieben.",
        ),
        ("Something that a later hub says.", "Something that a later hub says."),
    ],
)
def test_notes_are_said_in_the_language_of_the_page(note: str, german: str) -> None:
    assert note_words(note) == note
    with speaking("de"):
        assert note_words(note) == german


def sentences(path: Path) -> Iterator[str]:
    """What a module appends to notes, its gaps filled with a number."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        called = ast.unparse(node.func)
        if called.endswith("notes.append") or called == "noted":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value
                elif isinstance(argument, ast.JoinedStr):
                    yield "".join(filled(part) for part in argument.values)


def filled(part: ast.expr) -> str:
    """A part of a sentence; a gap as it may be filled."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    if part.format_spec is not None and "%" in ast.unparse(part.format_spec):
        return "7.5%"
    return GAPS.get(ast.unparse(part.value), "7")


@pytest.mark.parametrize("language", OTHERS)
def test_all_that_the_hub_notes_of_files_has_words(language: str) -> None:
    said = [note for path in sorted(MEDIA.rglob("*.py")) for note in sentences(path)]

    assert len(said) > 30
    with speaking(language):
        assert [note for note in said if note_words(note) == note] == []


@pytest.mark.parametrize("language", OTHERS)
def test_so_has_what_it_counts(language: str) -> None:
    counted = Counts(1, 2, 3, 4, 5, 6, 7).notes() + Counts(resized=2, other_size="640 x 480").notes()

    with speaking(language):
        assert [note for note in counted if note_words(note) == note] == []


@pytest.mark.parametrize("format_name", ["jpeg", "same"])
def test_so_has_what_is_noted_of_the_output(format_name: str, decoder: PhotoDecoder, tmp_path: Path) -> None:
    path = tmp_path / "photo.tga"
    Image.fromarray(np.zeros((40, 60, 4), np.uint8)).save(path)

    notes = plan_output(decoder.decode(path), format_name).notes

    assert notes
    with speaking("fr"):
        assert [note for note in notes if note_words(note) == note] == []


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhotoDecoder]:
    decoder = PhotoDecoder(
        max_pixels=1_000_000, timeout=60, memory_bytes=4_000_000_000, temp_dir=tmp_path_factory.mktemp("decoder")
    )
    yield decoder
    decoder.close()
