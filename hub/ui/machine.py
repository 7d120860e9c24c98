"""The machine that the hub runs on: its device and memory, its models and its disk, and what can be done there."""

from __future__ import annotations

import html
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from hub.access import Caller
from hub.errors import Forbidden, HubError, InvalidInput, Unauthorized
from hub.jobs.manager import JobView
from hub.jobs.model import Kind, Status
from hub.lifecycle import Cleared, Usage
from hub.service import Hub
from hub.ui.about import about_button
from hub.ui.board import answer, board, news
from hub.ui.cache import PageCache
from hub.ui.language import say
from hub.ui.machine_facts import cache_facts, cleared_words, device_facts, model_line, rules
from hub.ui.problems import explain
from hub.ui.tab import BOUNDED, QUIET
from hub.ui.visitors import address_of, check_rate, own_job, owner_of

log = logging.getLogger(__name__)

USAGE_SECONDS = 30.0  # Every file is looked at for it.
MOST_INSTALLS = 50


@dataclass(frozen=True)
class _Kept:
    """What lies on the disk, and when that was looked at (monotonic seconds). page_bytes: of the page's own cache."""

    usage: Usage
    page_bytes: int
    at: float


class MachinePanel:
    """What the machine is and does, for everybody; changing it is the operator's, where there is one.

    An operator's key comes with each request, from the memory of the page where it was entered; it is kept nowhere.
    """

    def __init__(self, hub: Hub, cache: PageCache, visitor: gr.BrowserState) -> None:
        self._hub = hub
        self._cache = cache
        self._kept: _Kept | None = None
        self._measuring = threading.Lock()
        self.board = board("activity-machine", "machine.html", id="activity-key", about=about_button())
        self.board.look(self._look, visitor, self.board, **QUIET)
        self.board.act(self._act, visitor, self.board, trigger_mode="multiple", **BOUNDED)

    def _look(self, visitor: Any, event: gr.EventData, request: gr.Request | None = None) -> Any:
        """How things stand, if that has changed since this browser looked last."""
        try:
            caller = self._caller(event, request)
        except HubError:  # The hub was started anew, with other keys: the page is to forget this one.
            caller = self._hub.access.page
        return news(self._told(visitor, caller), getattr(event, "seen", ""))

    def _act(self, visitor: Any, event: gr.EventData, request: gr.Request | None = None) -> dict[str, Any]:
        """Do what a button says, or say why not."""
        name, do = str(getattr(event, "id", "")), str(getattr(event, "do", ""))
        caller, problem, cleared = self._hub.access.page, "", ""
        try:
            caller = self._caller(event, request)
            if do == "clear":
                cleared = self._clear(caller, request)
            elif do == "unlock":
                self._hub.access.check_operator(caller)
            else:
                self._do(do, name, visitor, caller, request)
        except HubError as error:
            problem = explain(error)
        except Exception:
            log.exception("The action %r on %r failed.", do, name)
            problem = say("server_error")
        told = self._told(visitor, caller)
        if cleared:
            told = {**told, "parts": {**told["parts"], "cleared": cleared}}
        return answer(told, name, problem)

    def _caller(self, event: gr.EventData, request: gr.Request | None) -> Caller:
        """Who asks: whoever uses the page, or whose key came along. Raises Unauthorized, TooManyRequests."""
        key = getattr(event, "key", "")
        if not key or not isinstance(key, str):
            return self._hub.access.page
        caller = self._hub.access.identify(key, address_of(request))
        if not caller.operator:
            raise Unauthorized("wrong_key", "The key is not the operator's; please check it.")
        return caller

    def _denied(self, caller: Caller) -> str:
        """Why this caller may change nothing that concerns all; empty where he may.

        Visitors have no key: where the API asks for one, or where there is an operator, they only look.
        """
        access = self._hub.access
        if caller.operator:
            return ""
        try:
            access.check_operator(caller)
        except Forbidden as error:
            return explain(error)
        return say("machine_keys_only") if access.required else ""

    def _do(self, do: str, name: str, visitor: Any, caller: Caller, request: gr.Request | None) -> None:
        """Raises HubError."""
        if do == "cancel":
            job = self._install_of(name)
            if job is not None:
                self._hub.cancel(own_job(self._hub, job.job.id, visitor).job.id)
            return
        _check(self._denied(caller))
        check_rate(self._hub, request)
        match do:
            case "install":
                if self._install_of(name) is None:
                    self._hub.models.install([name], owner=owner_of(self._hub, visitor))
            case "load":
                self._hub.models.load([name])
            case "unload":
                _, skipped = self._hub.models.unload([name])
                if skipped:
                    raise InvalidInput("model_in_use", say("machine_in_use"))
            case _:
                raise InvalidInput("unknown_action", f"Nothing is called {do!r}.")

    def _clear(self, caller: Caller, request: gr.Request | None) -> str:
        """Delete what nobody needs any more; returns what that was, as HTML. Raises HubError."""
        _check(self._denied(caller))
        check_rate(self._hub, request)
        before = self._measured(afresh=True)
        done: Cleared = self._hub.lifecycle.clear([Kind.IMAGE, Kind.VIDEO])
        self._cache.sweep()
        after = self._measured(afresh=True)
        freed = _bytes_of(before) - _bytes_of(after)
        return cleared_words(done, max(0, freed))

    def _told(self, visitor: Any, caller: Caller) -> dict[str, Any]:
        """The board's value."""
        hub, denied = self._hub, self._denied(caller)
        owner = owner_of(hub, visitor) if visitor else None
        try:
            installs = self._installs()
            waiting = hub.manager.waiting()
            kept = self._measured()
        except HubError as error:  # It passes: the next look will tell.
            return {"alert": html.escape(explain(error))}
        status = hub.models.status()
        held = {model["name"]: model for model in status["models"]}
        lines = [
            model_line(entry, held[entry.name], installs.get(entry.name), owner, denied)
            for entry in hub.catalog.models()
            if entry.name in held  # One that came this very moment shows at the next look.
        ]
        return {
            "rows": lines,
            "busy": bool(installs) or waiting > 0 or any(model["loading"] for model in status["models"]),
            "parts": {
                "device": device_facts(status, waiting, hub.settings),
                # Where a key would help, the form for it says so.
                "rules": "" if hub.settings.operator_keys else rules(denied),
                "cache": cache_facts(kept.usage, kept.page_bytes, denied),
            },
            "locked": bool(hub.settings.operator_keys),
            "operator": caller.operator,
        }

    def _installs(self) -> dict[str, JobView]:
        """By model: the job that will install it, whoever has sent it."""
        views = [
            view
            for status in (Status.PENDING, Status.PROCESSING)
            for view in self._hub.manager.list(kind=Kind.INSTALL, status=status, limit=MOST_INSTALLS)
        ]
        return {name: view for view in views for name in view.job.spec.get("model_names", ())}

    def _install_of(self, name: str) -> JobView | None:
        return self._installs().get(name)

    def _measured(self, *, afresh: bool = False) -> _Kept:
        """What lies on the disk; looked at every now and then, by one thread at a time."""
        with self._measuring:
            now = time.monotonic()
            if afresh or self._kept is None or now - self._kept.at > USAGE_SECONDS:
                self._kept = _Kept(self._hub.lifecycle.usage(), self._cache.size(), now)
            return self._kept


def _check(reason: str) -> None:
    """Raise Forbidden if there is a reason why not."""
    if reason:
        raise Forbidden("not_allowed", reason)


def _bytes_of(kept: _Kept) -> float:
    usage = kept.usage
    return (usage.image_cache_mb + usage.video_cache_mb) * 1e6 + kept.page_bytes
