"""The life of jobs as a state machine: whatever is done to them, in whatever order, table and disk hold what they must.

Real table, real files, real threads; only the handler is the test's, so that it ends when it is told to. Time passes by
making what the table holds older. A crash is a copy of all that is on disk, on which the next hub is started.
`scripts/test tests/hub/jobs --long` tries many more lives.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub.disk import PINNED
from hub.errors import Busy, Conflict, InvalidInput, NotFound
from hub.jobs.admission import Idempotency
from hub.jobs.model import TRANSITIONS, Job, Kind, Status
from hub.lifecycle import Cleared

from .bench import Bench
from .lives import Directed, Model

BOTH = (Kind.IMAGE, Kind.VIDEO)
QUEUE_LIMIT = 3
STEP = 500
"""Seconds. No sum of terms is near a multiple of it, so the seconds that the test itself takes never matter."""
SHORT = 15
LONG = hypothesis_settings.get_current_profile_name() == "long"
EXAMPLES = hypothesis_settings().max_examples if LONG else SHORT

kinds = st.sampled_from(BOTH)
choices = st.integers(0, 1000)


class Lives(RuleBasedStateMachine):
    """Many jobs on one hub, which is stopped, killed and started again."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="lives-"))
        self.lives = 0
        self.now = 0
        self.models: dict[str, Model] = {}
        self.ghosts: list[Model] = []  # Deleted while they were read.
        self.orphans: Counter[Kind] = Counter()
        self.gone: list[Job] = []
        self.start(self.root / "0")

    def start(self, folder: Path) -> None:
        self.began = self.now
        self.directed = Directed()
        self.running: dict[Kind, tuple[str, queue.Queue[bool]] | None] = dict.fromkeys(Kind)
        self.hub = Bench(folder, self.directed, workers=1, queue_limit=QUEUE_LIMIT)
        self.hub.manager.start()
        self.settle()

    def teardown(self) -> None:
        if hasattr(self, "hub"):
            self.leave_all()
            self.stop()
            shutil.rmtree(self.root)

    def stop(self) -> None:
        self.hub.manager.stop(10)
        self.hub.store.close()

    def leave_all(self) -> None:
        for model in [*self.models.values(), *self.ghosts]:
            for reader in model.readers:
                reader.close()
            model.readers.clear()
        self.ghosts.clear()

    def settle(self) -> None:
        """Wait until every worker that has something to do has begun."""
        for kind in BOTH:
            waiting = [job_id for job_id, model in self.models.items() if self.is_waiting(model, kind)]
            if self.running[kind] is None and waiting:
                job_id, answers = self.directed.begun[kind].get(timeout=20)
                self.running[kind] = (job_id, answers)
                assert job_id in waiting
                self.move(self.models[job_id], Status.PROCESSING)

    def is_waiting(self, model: Model, kind: Kind | None = None) -> bool:
        return model.status is Status.PENDING and kind in (None, model.job.kind)

    def move(self, model: Model, to: Status) -> None:
        assert to in TRANSITIONS[model.status]
        model.status = to
        model.ended = self.now

    def pick(self, choice: int, fits: Callable[[Model], bool] = lambda model: True) -> Model | None:
        found = [model for model in self.models.values() if fits(model)]
        return found[choice % len(found)] if found else None

    def forget(self, model: Model) -> None:
        del self.models[model.job.id]
        self.gone.append(model.job)
        if model.readers:
            self.ghosts.append(model)

    # What people and programs do.

    @rule(
        kind=kinds,
        content=st.sampled_from([b"one", b"two"]),
        key=st.sampled_from([None, None, "a", "b"]),
        at_once=st.sampled_from([True, True, False]),
    )
    def submit(self, kind: Kind, content: bytes, key: str | None, at_once: bool) -> None:
        idempotency = Idempotency(key, {"kind": kind}) if key else None
        first = next((model for model in self.models.values() if key and model.key == key), None)
        full = sum(map(self.is_waiting, self.models.values())) >= QUEUE_LIMIT
        options: dict[str, Any] = {"kind": kind, "owner": "me", "idempotency": idempotency}
        if first is not None and (first.content, first.job.kind) == (content, kind):
            assert self.hub.submit(content, **options).id == first.job.id
        elif first is not None:
            with pytest.raises(InvalidInput):
                self.hub.submit(content, **options)
        elif full:
            with pytest.raises(Busy):
                self.hub.submit(content, **options)
        else:
            job = self.hub.submit(content, **options)
            self.models[job.id] = Model(job, content, key)
            self.settle()
            if at_once:
                self.finish(kind, True)

    @rule(kind=kinds, well=st.sampled_from([True, True, False]))
    def end_run(self, kind: Kind, well: bool) -> None:
        self.finish(kind, well)

    def finish(self, kind: Kind, well: bool) -> None:
        running = self.running[kind]
        if running is None:
            return
        job_id, answers = running
        answers.put(well)
        view = self.hub.manager.wait(job_id, 20)
        self.running[kind] = None
        model = self.models[job_id]
        self.move(model, Status.COMPLETED if well else Status.FAILED)
        model.job = view.job
        self.settle()

    @rule(choice=choices)
    def cancel(self, choice: int) -> None:
        if (model := self.pick(choice)) is None:
            return
        if not model.status.finished:
            self.move(model, Status.CANCELLED)
        assert self.hub.manager.cancel(model.job.id).job.status is model.status
        self.await_end_of(model)

    @rule(choice=choices)
    def delete(self, choice: int) -> None:
        if (model := self.pick(choice)) is None:
            return
        self.hub.manager.delete(model.job.id)
        self.forget(model)
        self.await_end_of(model)

    def await_end_of(self, model: Model) -> None:
        running = self.running[model.job.kind]
        if running is not None and running[0] == model.job.id:
            self.running[model.job.kind] = None
            if model.job.id in self.models:
                self.hub.manager.wait(model.job.id, 20)
        self.settle()

    @rule(choice=choices)
    def resume(self, choice: int) -> None:
        if (model := self.pick(choice)) is None:
            return
        if model.status is not Status.FAILED or model.job.kind is not Kind.VIDEO:
            with pytest.raises(Conflict):
                self.hub.manager.resume(model.job.id)
        elif sum(map(self.is_waiting, self.models.values())) >= QUEUE_LIMIT:
            with pytest.raises(Busy):
                self.hub.manager.resume(model.job.id)
        else:
            self.hub.manager.resume(model.job.id)
            self.move(model, Status.PENDING)
            self.settle()

    @rule(choice=choices)
    def confirm(self, choice: int) -> None:
        if (model := self.pick(choice, lambda model: model.has_result)) is None:
            return
        assert self.hub.lifecycle.confirm(model.job.result_path or "") is (model.confirmed is None)
        if model.confirmed is None:
            model.confirmed = self.now

    @rule(choice=choices)
    def beat(self, choice: int) -> None:
        if (model := self.pick(choice)) is None:
            return
        if not model.has_result:
            with pytest.raises(NotFound):
                self.hub.lifecycle.heartbeat(model.job.id)
        else:
            self.hub.lifecycle.heartbeat(model.job.id)
            model.heartbeat = self.now

    @rule(choice=choices, of_result=st.booleans())
    def read(self, choice: int, of_result: bool) -> None:
        if (model := self.pick(choice, lambda model: model.has_result)) is None:
            return
        path: Path | str = model.job.result_path or ""
        if not of_result:
            path = self.hub.files.job_dir(model.job.id) / "segment"
        reader = contextlib.ExitStack()
        reader.enter_context(self.hub.files.reading(path))
        model.readers.append(reader)

    @precondition(lambda self: any(model.readers for model in [*self.models.values(), *self.ghosts]))
    @rule(choice=choices)
    def leave(self, choice: int) -> None:
        read = [model for model in [*self.models.values(), *self.ghosts] if model.readers]
        model = read[choice % len(read)]
        model.readers.pop().close()
        if model in self.ghosts and not model.readers:
            self.ghosts.remove(model)

    # What happens by itself.

    @rule(steps=st.sampled_from([1, 2, 7, 8, 170]), then_clear=st.sampled_from([True, True, False]))
    def pass_time(self, steps: int, then_clear: bool) -> None:
        self.hub.pass_time(steps * STEP)
        self.now += steps * STEP
        if then_clear:
            self.clear_and_count(BOTH)

    @rule(kind=kinds)
    def leave_an_orphan(self, kind: Kind) -> None:
        folder = self.hub.folder / "results" / f"{kind}s" / "denoise" / "processed"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"1700000000_0123abcd_{secrets.token_hex(12)}_enhanced_x.png").write_bytes(b"nobody's")
        self.orphans[kind] += 1

    @rule(asked=st.sampled_from([BOTH, BOTH, (Kind.IMAGE,), (Kind.VIDEO,), tuple(Kind)]))
    def clear(self, asked: tuple[Kind, ...]) -> None:
        self.clear_and_count(asked)

    def clear_and_count(self, asked: tuple[Kind, ...]) -> None:
        cleared, in_progress, awaiting = 0, 0, 0
        for model in [model for model in self.models.values() if model.job.kind in asked]:
            if not model.status.finished or model.readers:
                in_progress += 1
            elif model.lapsed(self.now, self.began):
                cleared += model.has_result
                self.forget(model)
            else:
                awaiting += model.has_result
        for kind in asked:
            cleared += self.orphans.pop(kind, 0)
        assert self.hub.lifecycle.clear(asked) == Cleared(cleared, in_progress, awaiting)

    @rule()
    def restart(self) -> None:
        self.leave_all()
        self.stop()
        self.take_back()
        self.start(self.hub.folder)

    @rule()
    def crash(self) -> None:
        self.go_on_in(self.copy())

    @precondition(lambda self: any(self.is_collectable(model) for model in self.models.values()))
    @rule()
    def crash_in_a_clean_up(self) -> None:
        """Between the end of the first row and that of its files."""
        copies: list[tuple[str, Path]] = []
        delete = self.hub.files.delete

        def copy_first(job: Job) -> None:
            if not copies:
                copies.append((job.id, self.copy()))
            delete(job)

        self.hub.files.delete = copy_first  # type: ignore[method-assign]
        self.hub.lifecycle.clear(BOTH)
        job_id, folder = copies[0]
        lost = self.models[job_id]
        assert self.is_collectable(lost)
        self.forget(lost)
        self.ghosts.append(lost)
        self.go_on_in(folder)

    def is_collectable(self, model: Model) -> bool:
        return model.status.finished and not model.readers and model.lapsed(self.now, self.began)

    def copy(self) -> Path:
        self.lives += 1
        folder = self.root / str(self.lives)
        shutil.copytree(self.hub.folder, folder)
        return folder

    def go_on_in(self, folder: Path) -> None:
        """Start a hub on what was on disk at one moment, and forget the one that died then."""
        for ghost in self.ghosts:  # Its row was gone at that moment, its files were not.
            self.orphans[ghost.job.kind] += ghost.has_result
            self.gone.remove(ghost.job)
        self.leave_all()
        self.stop()
        shutil.rmtree(self.hub.folder)
        self.take_back()
        self.start(folder)

    def take_back(self) -> None:
        for model in self.models.values():
            if model.status is Status.PROCESSING:
                self.move(model, Status.PENDING)

    # What must hold at any time.

    @invariant()
    def every_job_is_where_it_should_be(self) -> None:
        if not hasattr(self, "hub"):
            return
        rows = {view.job.id: view.job for view in self.hub.manager.list(limit=10_000)}
        assert {job_id: job.status for job_id, job in rows.items()} == {
            job_id: model.status for job_id, model in self.models.items()
        }
        for model in self.models.values():
            if model.has_result:
                path = self.hub.files.resolve(rows[model.job.id].result_path or "")
                assert path.read_bytes() == model.content
        for job in self.gone:
            with pytest.raises(NotFound):
                self.hub.manager.view(job.id)
            with pytest.raises(NotFound):
                self.hub.files.resolve(job.result_path or "")

    @invariant()
    def nothing_else_is_on_disk(self) -> None:
        if not hasattr(self, "hub"):
            return
        kept = [*self.models.values(), *self.ghosts]
        assert self.hub.files.stored_ids() == {model.job.id for model in kept if model.has_folders}
        assert len(self.hub.results()) == sum(model.has_result for model in kept) + self.orphans.total()
        assert sum(1 for _ in self.hub.folder.rglob(f"{PINNED}*")) == sum(len(model.readers) for model in kept)


Lives.TestCase.settings = hypothesis_settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None)
TestLives = Lives.TestCase
