"""`python -m hub models` and `fetch`: what the catalog has, and downloading what it lacks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

from hub.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.catalog import Catalog, ModelEntry
    from hub.fetch import Fetcher
    from hub.settings import Settings


def open_catalog(settings: Settings) -> Catalog:
    """The models that these settings point at."""
    from hub.catalog import Catalog

    return Catalog(settings.weights_dir, settings.data_dir / "weights")


def open_fetcher(settings: Settings, catalog: Catalog) -> Fetcher:
    """What downloads the catalog's official weights."""
    from hub.fetch import Fetcher

    return Fetcher(catalog, settings.data_dir / "weights", settings.fetch_urls)


def state(entry: ModelEntry) -> str:
    """In a few words, whether the model can be used, and what makes it usable."""
    if entry.problem:
        return f"unusable: {entry.problem}"
    return "installed" if entry.installed else f"not installed: python -m hub fetch {entry.name}"


def list_models(settings: Settings, task: str | None) -> int:
    """Print the models, those of one task or all."""
    catalog = open_catalog(settings)
    if task is not None:
        catalog.resolve(task, None)
    rows = [(entry.name, entry.task, entry.licence, state(entry)) for entry in catalog.models(task)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else []
    for *cells, last in rows:
        sys.stdout.write("  ".join([*map(str.ljust, cells, widths), last]) + "\n")
    return 0


@contextmanager
def download_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on the terminal for one download: a callback that takes bytes so far and bytes in all."""
    with tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None, leave=False) as bar:

        def report(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


def fetch_models(settings: Settings, names: Sequence[str], *, force: bool) -> int:
    """Download each model's weights and print where they are; a failed one is reported and the others go on."""
    catalog = open_catalog(settings)
    fetcher = open_fetcher(settings, catalog)
    entries = [catalog.get(name) for name in names]
    failed = 0
    for name in dict.fromkeys(entry.name for entry in entries):
        try:
            with download_bar(name) as report:
                path = fetcher.fetch(name, progress=report, force=force)
        except HubError as error:
            failed += 1
            sys.stderr.write(f"error: {name}: {error.message}\n")
        else:
            sys.stdout.write(f"{path}\n")
    return 1 if failed else 0
