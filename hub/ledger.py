"""What official files looked like when they first came, so that a later change does not pass unseen."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, RootModel, ValidationError

from hub.errors import Conflict


class FirstSeen(BaseModel):
    """One official file: its sha256, size in bytes and the moment it first came."""

    sha256: str
    size: int
    first_fetched: datetime


class _Ledger(RootModel[dict[str, FirstSeen]]):
    """fetched.json: official file name → what it was."""


class Ledger:
    """The checksums of official files, in one JSON file that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sha256(self, source: str) -> str | None:
        """The checksum that an official file had when it first came; raises Conflict (`bad_ledger`)."""
        found = self._read().get(source)
        return found.sha256 if found else None

    def record(self, source: str, sha256: str, size: int) -> None:
        """Remember an official file, unless it is known already."""
        with FileLock(self._path.with_name(f".{self._path.name}.lock")):
            seen = self._read()
            if source in seen:
                return
            seen[source] = FirstSeen(sha256=sha256, size=size, first_fetched=datetime.now(UTC).replace(microsecond=0))
            temporary = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}.tmp")
            try:
                with temporary.open("w", encoding="utf-8") as file:
                    file.write(_Ledger(seen).model_dump_json(indent=2) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)

    def _read(self) -> dict[str, FirstSeen]:
        try:
            return _Ledger.model_validate_json(self._path.read_bytes()).root
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise Conflict(
                "bad_ledger",
                f"{self._path} is damaged, so downloads cannot be compared with earlier ones; remove it to start anew.",
            ) from error
