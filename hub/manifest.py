"""weights/manifest.json: the models that the project knows, best first within each task."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hub.errors import HubError

MANIFEST = "manifest.json"
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class KnownModel(BaseModel):
    """One entry of the manifest.

    official_file: name at the official address, for models that are downloaded.
    sha256: of the official file, or of the shipped one.
    source, training_data: where the weights come from and what they have seen, in prose.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FileName
    task: Literal["denoise", "deblur"]
    text: str
    description: str
    variant: str
    train_size: Literal[128, 256]
    file: FileName
    official_file: FileName | None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    licence: str
    source: str
    training_data: str

    @model_validator(mode="after")
    def _check(self) -> KnownModel:
        if not self.file.endswith(".safetensors"):
            raise ValueError("file must end in .safetensors")
        if self.official_file is None and self.sha256 is None:
            raise ValueError("a shipped model needs its sha256")
        return self


class Manifest(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[KnownModel, ...]

    @model_validator(mode="after")
    def _check(self) -> Manifest:
        for field in ("name", "file"):
            counts = Counter(getattr(model, field) for model in self.models)
            if twice := [value for value, count in counts.items() if count > 1]:
                raise ValueError(f"{field} {twice[0]!r} is there twice")
        return self


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a weights folder; a folder without one knows no models of its own.

    Raises HubError (`bad_manifest`) with the first thing that is wrong.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Manifest(models=())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise HubError("bad_manifest", f"{path.name}: {place}: {first['msg']}.", {"place": place}) from error
