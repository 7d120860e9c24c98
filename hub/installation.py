"""Installing models as a job: official weights downloaded one after the other, with progress in bytes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hub.errors import Cancelled, HubError
from hub.jobs.handler import JobContext, Outcome

if TYPE_CHECKING:
    from hub.catalog import Catalog, ModelEntry
    from hub.fetch import Fetcher

INSTALL_TASK = "install"


@dataclass(frozen=True)
class InstallSpec:
    """What an install job is to do."""

    model_names: Sequence[str]

    def to_spec(self) -> dict[str, Any]:
        """As a job's spec."""
        return {"model_names": list(self.model_names)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> InstallSpec:
        """Of a queued job."""
        return cls(spec["model_names"])


@dataclass(frozen=True)
class Installed:
    """A model that a job has installed: the bytes of its file, and the seconds that it took."""

    name: str
    bytes: int
    seconds: float


class InstallHandler:
    """Downloads the weights of the models that a job names; one that is installed already is simply done.

    A model that cannot be had does not keep the others from being installed; the job then fails, and says both.
    """

    def __init__(self, catalog: Catalog, fetcher: Fetcher) -> None:
        self._catalog = catalog
        self._fetcher = fetcher

    def __call__(self, context: JobContext) -> Outcome:
        """Run one job. Result: {"installed": [{"name", "bytes", "seconds"}], "already_installed": [...], "seconds"}."""
        began = time.monotonic()
        names = InstallSpec.from_spec(context.job.spec).model_names
        installed: list[Installed] = []
        already: list[str] = []
        failed: dict[str, HubError] = {}
        for number, name in enumerate(names):
            context.check_cancelled()
            try:
                entry = self._catalog.get(name)
                if entry.installed:
                    already.append(name)
                else:
                    installed.append(self._install(entry, context, number, len(names)))
            except Cancelled:
                raise
            except HubError as error:
                failed[name] = error
        if failed:
            raise _failure(failed, [*already, *(model.name for model in installed)])
        return Outcome(
            None,
            {
                "installed": [asdict(model) for model in installed],
                "already_installed": already,
                "seconds": round(time.monotonic() - began, 1),
            },
        )

    def _install(self, entry: ModelEntry, context: JobContext, number: int, count: int) -> Installed:
        """Install one model; `number` of `count`, from 0. The models share the progress bar evenly."""
        began = time.monotonic()
        place = f" ({number + 1} of {count})" if count > 1 else ""

        def told(received: int, total: int | None) -> None:
            of = f"{received / 1e6:.0f} of {total / 1e6:.0f} MB" if total else f"{received / 1e6:.0f} MB"
            context.report(
                (number + (received / total if total else 0.0)) / count,
                f"Downloading {entry.text or entry.name}{place}: {of}",
                {
                    "model_name": entry.name,
                    "bytes_done": received,
                    "bytes_total": total,
                    "models_done": number,
                    "models_total": count,
                },
            )

        context.begin(number / count, f"Downloading {entry.text or entry.name}{place}")
        path = self._fetcher.fetch(entry.name, progress=told, cancelled=context.cancelled)
        return Installed(entry.name, path.stat().st_size, round(time.monotonic() - began, 1))


def _failure(failed: Mapping[str, HubError], sound: Sequence[str]) -> HubError:
    """One error for all models that could not be installed: its kind is the first one's."""
    first = next(iter(failed.values()))
    if len(failed) == 1 and not sound:
        return first
    told = " ".join(
        error.message if name in error.message else f"{name}: {error.message}" for name, error in failed.items()
    )
    return HubError(first.code, f"{told} Installed are: {', '.join(sound) or 'none of the others'}.")
