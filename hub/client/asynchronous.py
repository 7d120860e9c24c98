"""The hub from asynchronous code: the same methods, awaited."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import TypeVar, Unpack

import httpx

from hub.client import flows, requests
from hub.client.connection import PATIENCE, TIMEOUT, connection
from hub.client.drivers import AsyncDriver
from hub.client.effects import Call, Flow
from hub.client.model import (
    Json,
    PhotoOptions,
    Progress,
    RestoreOptions,
    Result,
    Source,
    TaskKind,
    TaskPage,
    TaskStatus,
    VideoOptions,
)
from hub.client.targets import locate
from hub.client.watching import completed, watch

T = TypeVar("T")


class AsyncHubClient:
    """A hub at an address: `await AsyncHubClient("http://127.0.0.1:8000").denoise("photo.jpg", to="restored.jpg")`.

    It belongs to one event loop, may be shared by its tasks, and used in an `async with`. Every call may raise
    Refused, when the server says no, and Unreachable; both are HubClientErrors.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """api_key: sent as X-API-Key. timeout: seconds without a byte, after which a connection counts as broken.

        patience: seconds for which a call is repeated while connections break and the server is busy; no job is ever
        made twice by that. transport: of httpx, for certificates or a proxy of your own.
        Raises ValueError for what is no address.
        """
        self.patience = patience
        self._http = httpx.AsyncClient(**connection(address, api_key, timeout), transport=transport)
        self._driver = AsyncDriver(self._http)

    async def __aenter__(self) -> AsyncHubClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; tasks on the server go on."""
        await self._http.aclose()

    async def denoise(self, file: Source, **how: Unpack[RestoreOptions]) -> Result:
        """Take the noise out of a photo or clip; see `restore`."""
        return await self.restore(file, "denoise", **how)

    async def deblur(self, file: Source, **how: Unpack[RestoreOptions]) -> Result:
        """Take the blur out of a photo or clip; see `restore`."""
        return await self.restore(file, "deblur", **how)

    async def restore(self, file: Source, task: str, **how: Unpack[RestoreOptions]) -> Result:
        """Send a photo or clip, wait for it, and fetch the result; RestoreOptions lists what may be asked for.

        Raises TaskFailed, TaskCancelled, WaitTimeout, OSError for files, ValueError and TypeError for wrong options.
        """
        to = locate(how.get("to"), file)
        started = AsyncTask(self, await self.run(flows.submit(file, task, how, patience=self.patience)))
        status = await started.wait(
            progress=how.get("progress"),
            timeout=how.get("timeout"),
            cancel_on_interrupt=how.get("cancel_on_interrupt", False),
        )
        return await self.run(flows.download(started.id, status, to=to, confirm=True, patience=self.patience))

    async def submit_image(
        self,
        file: Source,
        task: str = "denoise",
        *,
        filename: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[PhotoOptions],
    ) -> AsyncTask:
        """Send a photo; the call returns once the server has it safe."""
        how = {"filename": filename, "idempotency_key": idempotency_key, **options}
        return AsyncTask(self, await self.run(flows.submit(file, task, how, kind="image", patience=self.patience)))

    async def submit_video(
        self,
        file: Source,
        task: str = "denoise",
        *,
        filename: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[VideoOptions],
    ) -> AsyncTask:
        """Send a clip; the call returns once the server has it safe."""
        how = {"filename": filename, "idempotency_key": idempotency_key, **options}
        return AsyncTask(self, await self.run(flows.submit(file, task, how, kind="video", patience=self.patience)))

    def task(self, task_id: str) -> AsyncTask:
        """A task whose id you kept; nothing is asked of the server yet."""
        return AsyncTask(self, task_id)

    async def tasks(
        self, *, kind: TaskKind | None = None, status: str | None = None, limit: int = 20, before: str | None = None
    ) -> TaskPage:
        """One page of your tasks, newest first; its `next`, given as `before`, leads to the one after it."""
        return await self.run(flows.tasks(requests.tasks(kind, status, limit, before), patience=self.patience))

    async def preview(self, photo: Source, *, filename: str | None = None) -> bytes:
        """A JPEG of at most 800 pixels a side of any photo that the hub reads, raw and HEIC too."""
        return await self.run(flows.preview(photo, filename, patience=self.patience))

    async def controls(self) -> Json:
        """What there is to choose from: tasks, models, formats, limits."""
        return await self._answer(requests.AVAILABLE_CONTROLS)

    async def models(self) -> Json:
        """Every model, whether it is loaded, and the device."""
        return await self._answer(requests.LOADED_MODELS_STATUS)

    async def model_loading_strategy(self) -> Json:
        """Whether all models are loaded at the start."""
        return await self._answer(requests.MODEL_LOADING_STRATEGY)

    async def load_models(self, *names: str) -> Json:
        """Load models, all installed ones if none is named."""
        return await self._answer(requests.models("load", names))

    async def unload_models(self, *names: str) -> Json:
        """Unload models, all if none is named; those in use are skipped."""
        return await self._answer(requests.models("unload", names))

    async def install_models(self, *names: str) -> AsyncTask:
        """Download the weights of models; the task that does it. Operators only, where the server has their keys."""
        return AsyncTask(self, await self.run(flows.install(names, patience=self.patience)))

    async def cache_status(self) -> Json:
        """The disk space that tasks take."""
        return await self._answer(requests.CACHE_STATUS)

    async def clear_cache(self, *, images: bool = True, videos: bool = True) -> Json:
        """Delete results that are abandoned or expired; what is in use or awaits its download stays."""
        return await self._answer(requests.clear_cache(images, videos))

    async def confirm_download(self, result_path: str) -> Json:
        """Tell that a result was fetched, which `download` does by itself."""
        return await self._answer(requests.confirm_download(result_path))

    async def heartbeat(self, task_id: str) -> Json:
        """Tell that a result is still looked at; every 5 minutes will do."""
        return await self._answer(requests.heartbeat(task_id))

    async def health(self) -> Json:
        """Whether the server is alive, and its version."""
        return await self._answer(requests.HEALTH)

    async def ready(self) -> Json:
        """Whether the server can take work, and what is wrong if not."""
        return await self.run(flows.readiness())

    async def _answer(self, call: Call) -> Json:
        return await self.run(flows.answer(call, patience=self.patience))

    async def run(self, flow: Flow[T]) -> T:
        """Drive one flow of `hub.client.flows` to its end."""
        return await self._driver.run(flow)


class AsyncTask:
    """A task on the server; it goes on whatever becomes of this object.

    id: keep it, and `AsyncHubClient.task` gives the task back.
    """

    def __init__(self, client: AsyncHubClient, task_id: str) -> None:
        self._client = client
        self.id = task_id

    def __repr__(self) -> str:
        return f"AsyncTask({self.id!r})"

    async def status(self) -> TaskStatus:
        """Where it stands now."""
        return await self._client.run(flows.status(self.id, patience=self._client.patience))

    async def wait(
        self, *, progress: Progress | None = None, timeout: float | None = None, cancel_on_interrupt: bool = False
    ) -> TaskStatus:
        """Wait until it has completed, telling `progress` each new state; the server may restart meanwhile.

        timeout: seconds. cancel_on_interrupt: whether cancelling this coroutine, or Ctrl-C, cancels the task too.
        What `progress` returns is awaited, if it can be.
        Raises TaskFailed, TaskCancelled and WaitTimeout.
        """
        try:
            flow = watch(self.id, patience=self._client.patience, timeout=timeout, progress=progress)
            return completed(self.id, await self._client.run(flow))
        except asyncio.CancelledError:
            if cancel_on_interrupt:
                await self.cancel()
            raise

    async def download(self, to: str | os.PathLike[str] | None = None, *, confirm: bool = True) -> Result:
        """Fetch the result into memory, or to a file or folder; nothing half-finished ever bears the file's name.

        A file named by `to` is replaced; in a folder nothing is. confirm: tell the server that it need not keep the
        result much longer. Raises TaskFailed and TaskCancelled, and NotCompleted before its end.
        """
        target = locate(to)
        flow = flows.download(self.id, None, to=target, confirm=confirm, patience=self._client.patience)
        return await self._client.run(flow)

    async def cancel(self) -> TaskStatus:
        """Cancel it; one that has ended stays as it is."""
        return await self._client.run(flows.cancel(self.id, patience=self._client.patience))

    async def resume(self) -> TaskStatus:
        """Queue a failed clip again; it goes on after its last finished segment."""
        return await self._client.run(flows.resume(self.id, patience=self._client.patience))

    async def delete(self) -> None:
        """Remove it and its files, cancelling it if need be."""
        await self._client.run(flows.delete(self.id, patience=self._client.patience))

    async def heartbeat(self) -> None:
        """Keep its result, which is still looked at."""
        await self._client.heartbeat(self.id)
