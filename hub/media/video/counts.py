"""What happened while a clip was read, in numbers that add up over several runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

# In the words for a person; each is followed by how many there were.
_WORDS = {
    "damaged_packets": "Damaged packets that were skipped",
    "patched_frames": "Damaged frames that the decoder patched up",
    "made_up_times": "Frames without a time of their own, which follow the frame rate",
    "moved_times": "Frames whose time was not later than the one before, and was moved",
    "clock_jumps": "Times at which the clip's clock jumps back, and what follows was moved on",
    "resized": "Frames of another size that were scaled to fit",
    "interlaced": "Interlaced frames, which are deinterlaced where their format allows it",
}
_RESIZED = "Frames of another size ({size}) that were scaled to fit"


@dataclass(frozen=True)
class Counts:
    """How often what happened.

    interlaced: frames of a clip whose header says that it is not. other_size: of the last frame that was resized.
    """

    damaged_packets: int = 0
    patched_frames: int = 0
    made_up_times: int = 0
    moved_times: int = 0
    clock_jumps: int = 0
    resized: int = 0
    interlaced: int = 0
    other_size: str = ""

    def __add__(self, other: Counts) -> Counts:
        """Both together; `other` is the later part."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in _WORDS}
        return Counts(**sums, other_size=other.other_size or self.other_size)

    def __sub__(self, before: Counts) -> Counts:
        """What came after `before`, which counts a part of the same run."""
        left = {name: getattr(self, name) - getattr(before, name) for name in _WORDS}
        return replace(self, **left, other_size=self.other_size if left["resized"] else "")

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, packed: Mapping[str, Any]) -> Counts:
        """The counts that `to_json` packed. Raises TypeError for anything else."""
        for field in fields(cls):
            if type(packed.get(field.name)) is not type(field.default):
                raise TypeError(f"{field.name} is {packed.get(field.name)!r}")
        return cls(**{field.name: packed[field.name] for field in fields(cls)})

    def notes(self) -> tuple[str, ...]:
        """What a person should know."""
        return tuple(
            f"{_RESIZED.format(size=self.other_size) if name == 'resized' and self.other_size else words}: {count}."
            for name, words in _WORDS.items()
            if (count := getattr(self, name))
        )
