"""Models by name: the manifest's, and the files that a user drops beside it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from hub.errors import Conflict, InvalidInput
from hub.filenames import clean_name, plain_name
from hub.manifest import MANIFEST, KnownModel, read_manifest
from uformer.checkpoint import CheckpointError, Weights, inspect, load_weights

TASKS: Mapping[str, str] = MappingProxyType({"denoise": "Denoise", "deblur": "Deblur"})
DEFAULT_TASK = "denoise"
SUFFIXES = (".safetensors", ".pth", ".pt")

# A file's modification time in nanoseconds and its size: as long as they stay, so does its content.
Stamp = tuple[int, int]


@dataclass(frozen=True)
class ModelEntry:
    """One model as the catalog knows it.

    name: what the API and the command line call it. text: what people read.
    variant: key of uformer's VARIANTS; train_size: 128 or 256; both None for a file that cannot tell.
    file: its name where it is installed. source: its name at the official address; None if it has none.
    sha256: of the shipped file, or of the file at the official address; None where not known.
    path: the installed file. problem: why the file that is there cannot be used, in one line.
    """

    name: str
    task: str
    text: str
    variant: str | None
    train_size: int | None
    file: str
    source: str | None
    sha256: str | None
    licence: str
    description: str
    path: Path | None = None
    problem: str | None = None

    @property
    def installed(self) -> bool:
        """Whether the weights are here and look usable."""
        return self.path is not None and self.problem is None


def unavailable(entry: ModelEntry) -> Conflict:
    """The error for a model that is not installed: why, and what would install it."""
    data = {"model_name": entry.name}
    if entry.problem is not None:
        return Conflict("weights_unusable", f"The model {entry.name!r} cannot be used: {entry.problem}", data)
    if entry.source is None:
        return Conflict(
            "weights_not_installed",
            f"The weights of {entry.name!r} are missing: put {entry.file} back into the weights folder.",
            data,
        )
    command = f"python -m hub fetch {entry.name}"
    return Conflict(
        "weights_not_installed",
        f"The weights of {entry.name!r} are not installed. Install them with: {command}",
        {**data, "command": command},
    )


class Catalog:
    """The models of a weights folder. Thread-safe; looks at the folders again whenever it is asked.

    weights_dir: manifest.json, the shipped files and the user's own. An official file put there by hand
        under its official name counts as installed.
    fetched_dir: where downloaded weights are kept.
    """

    def __init__(self, weights_dir: Path, fetched_dir: Path) -> None:
        self._weights_dir = weights_dir
        self._fetched_dir = fetched_dir
        self._lock = threading.Lock()
        self._seen: tuple[dict[Path, Stamp], dict[Path, Stamp]] | None = None
        self._models: list[ModelEntry] = []
        self._checks: dict[tuple[Path, Stamp, ModelEntry], ModelEntry] = {}

    def models(self, task: str | None = None) -> list[ModelEntry]:
        """The models of a task, or all: the manifest's from best to least, then the user's own by name."""
        with self._lock:
            seen = _listing(self._weights_dir), _listing(self._fetched_dir)
            if seen != self._seen:
                self._models = self._scan(*seen)
                self._seen = seen
            return [entry for entry in self._models if task in (None, entry.task)]

    def tasks(self) -> Mapping[str, str]:
        """Task → display name."""
        return TASKS

    def get(self, name: str) -> ModelEntry:
        """The model of a name; raises InvalidInput (`unknown_model`) that lists the valid ones."""
        models = self.models()
        for entry in models:
            if entry.name == name:
                return entry
        valid = [entry.name for entry in models]
        raise InvalidInput(
            "unknown_model", f"There is no model {name!r}; valid are: {', '.join(valid) or 'none'}.", {"valid": valid}
        )

    def default_model(self, task: str) -> ModelEntry:
        """The task's best installed model, else its best one that can be fetched.

        Raises Conflict (`no_models`) if the catalog has none for the task.
        """
        models = self.models(task)
        usable = [entry for entry in models if entry.installed] or [entry for entry in models if entry.source] or models
        if not usable:
            raise Conflict("no_models", f"There is no model for {task!r}; put one into the weights folder.")
        return usable[0]

    def resolve(self, task: str | None, model_name: str | None) -> ModelEntry:
        """The model that a request means: by name, else the task's default; no task means denoise.

        Raises InvalidInput (`unknown_task`, `unknown_model`, `wrong_task`) that lists the valid ones.
        """
        if task is not None and task not in TASKS:
            raise InvalidInput(
                "unknown_task", f"There is no task {task!r}; valid are: {', '.join(TASKS)}.", {"valid": list(TASKS)}
            )
        if model_name is None:
            return self.default_model(task or DEFAULT_TASK)
        entry = self.get(model_name)
        if task is not None and entry.task != task:
            valid = [other.name for other in self.models(task)]
            raise InvalidInput(
                "wrong_task",
                f"The model {model_name!r} is for {entry.task}; for {task} valid are: {', '.join(valid) or 'none'}.",
                {"valid": valid},
            )
        return entry

    def load(self, name: str) -> Weights:
        """The weights of an installed model.

        Raises InvalidInput (`unknown_model`), Conflict (`weights_not_installed`, `weights_unusable`).
        """
        entry = self.get(name)
        if entry.path is None or not entry.installed:
            raise unavailable(entry)
        try:
            return load_weights(entry.path, train_size=entry.train_size, variant=entry.variant)
        except CheckpointError as error:
            raise unavailable(replace(entry, problem=str(error))) from error

    def _scan(self, weights: Mapping[Path, Stamp], fetched: Mapping[Path, Stamp]) -> list[ModelEntry]:
        """All models, given the files of both folders."""
        checks: dict[tuple[Path, Stamp, ModelEntry], ModelEntry] = {}

        def checked(entry: ModelEntry, path: Path, stamp: Stamp) -> ModelEntry:
            if path.parent == self._fetched_dir:
                return replace(entry, path=path)  # Checked before it was put there.
            key = (path, stamp, entry)
            checks[key] = self._checks.get(key) or _check(entry, path)
            return checks[key]

        models: list[ModelEntry] = []
        taken: set[Path] = set()
        for known in read_manifest(self._weights_dir).models:
            entry = _from_manifest(known)
            for path, stamp in self._places(known, weights, fetched):
                taken.add(path)
                if not entry.installed:
                    entry = checked(_from_manifest(known), path, stamp)
            models.append(entry)
        names = {entry.name for entry in models}
        own = [path for path in weights if path not in taken and path.suffix.lower() in SUFFIXES]
        for path in sorted(own):
            name = _free_name(path, names)
            names.add(name)
            models.append(checked(_own(name, path), path, weights[path]))
        self._checks = checks
        return models

    def _places(
        self, known: KnownModel, weights: Mapping[Path, Stamp], fetched: Mapping[Path, Stamp]
    ) -> Iterator[tuple[Path, Stamp]]:
        """The files that hold a model of the manifest, the preferred one first."""
        for files, path in (
            (weights, self._weights_dir / known.file),
            (fetched, self._fetched_dir / known.file),
            (weights, self._weights_dir / (known.official_file or known.file)),
        ):
            if path in files:
                yield path, files[path]


def _listing(folder: Path) -> dict[Path, Stamp]:
    """The manifest and the files of weights in a folder, with what tells a change; nothing if there is none."""
    found = {}
    try:
        for path in folder.iterdir():
            wanted = path.suffix.lower() in SUFFIXES or path.name == MANIFEST
            if wanted and not path.name.startswith(".") and path.is_file():
                status = path.stat()
                found[path] = (status.st_mtime_ns, status.st_size)
    except FileNotFoundError:
        # The folder, or a file that went away between the listing and the look.
        return found
    return found


def _from_manifest(known: KnownModel) -> ModelEntry:
    return ModelEntry(
        name=known.name,
        task=known.task,
        text=known.text,
        variant=known.variant,
        train_size=known.train_size,
        file=known.file,
        source=known.official_file,
        sha256=known.sha256,
        licence=known.licence,
        description=known.description,
    )


def _own(name: str, path: Path) -> ModelEntry:
    return ModelEntry(
        name=name,
        task=_task_of(path.stem),
        text=plain_name(path.stem),
        variant=None,
        train_size=None,
        file=path.name,
        source=None,
        sha256=None,
        licence="unknown",
        description=f"Your own file {plain_name(path.name)}.",
    )


def _task_of(text: str) -> str:
    """The task that a file's name hints at."""
    return "deblur" if any(word in text.lower() for word in ("blur", "gopro")) else DEFAULT_TASK


def _free_name(path: Path, taken: Collection[str]) -> str:
    """A name for a user's file that no other model has; the same on every scan of the same files."""
    stem, suffix = clean_name(path.stem), path.suffix.lower().removeprefix(".")
    candidates = (stem, f"{stem}_{suffix}", *(f"{stem}_{suffix}_{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in candidates if name not in taken)


def _check(entry: ModelEntry, path: Path) -> ModelEntry:
    """The entry with its file and what the file tells filled in, or with what is wrong with the file."""
    entry = replace(entry, path=path)
    try:
        if entry.source is None and entry.sha256 is not None:
            with path.open("rb") as file:
                sound = hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
            problem = None if sound else f"{path.name}: damaged, or not the file that the manifest means."
            return replace(entry, problem=problem)
        info = inspect(path)
    except (OSError, ValueError) as error:
        return replace(entry, problem=str(error))
    if entry.variant is not None:
        problem = None if info.variant == entry.variant else f"{path.name}: holds {info.variant}, not {entry.variant}."
        return replace(entry, problem=problem)
    task = info.task if info.task is not None and info.task in TASKS else entry.task
    return replace(entry, task=task, variant=info.variant, train_size=info.train_size)
