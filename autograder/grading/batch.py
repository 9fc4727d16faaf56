"""One loop for everything that is graded in numbers: claims rows, hands out jobs, commits what comes back.

Jobs run on an executor of `exercise_code.jobs` (in this process, on its threads, or on dask's workers) and touch
neither the record nor the course folder; this loop alone does, in one thread. A job that fails through a fault of ours
is tried again after all others, a few times; what then still fails stays with its reason, and nobody is marked for it.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from autograder.errors import CourseError, RecordsError
from autograder.grading import supervise
from autograder.records.rows import Submission, clean
from exercise_code.jobs import SharingExecutor, executor

TRIES = 3  # of one submission in one run, when errors of ours hit it
GIVE_UP_AFTER = 3  # errors of ours in a row, on different submissions: then it is the machine
_LOOK_S = 0.5


@dataclass(frozen=True)
class Engine:
    """Where jobs run: "serial", "local" or "dask"; see `exercise_code.jobs.executor`."""

    name: str = "serial"
    workers: int | None = None  # one per core when None
    address: str | None = None  # of a dask scheduler

    @contextlib.contextmanager
    def open(self) -> Iterator[SharingExecutor]:
        """The executor; leaving by an exception ends its jobs.

        Raises:
            CourseError: there is no such engine, or nothing answers at the address.
        """
        with contextlib.ExitStack() as stack:
            try:
                pool = stack.enter_context(executor(self.name, self.workers, self.address))
            except (ValueError, OSError, ImportError) as error:
                raise CourseError(f"engine {self.name}: {error}") from error
            yield pool


@dataclass(frozen=True)
class Call:
    """A job: `function(*arguments)`. For dask all of it is pickled, so the function is one of a module; what the pool
    shares is replaced by its value where it is an argument itself, not inside of one.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class Work(Protocol):
    """What a batch is about; all its methods run in the coordinator's thread.

    The texts that `prepare` and `commit` return ("scored", "FAILED", ...) are counted and shown. Either may raise: that
    is an error of ours.
    """

    title: str

    def claim(self) -> Submission | None:
        """The next submission, None when none is waiting (now: `again` may bring one back)."""

    def prepare(self, row: Submission) -> Call | str:
        """Its job, or what became of it when there is nothing to run."""

    def commit(self, row: Submission, answer: Any) -> str:
        """Record what the job returned, and say what became of it."""

    def broken(self, row: Submission, error: Exception) -> None:
        """Record an error of ours; nobody is marked for it."""

    def again(self, row: Submission) -> None:
        """Put a broken submission behind all others."""

    def give_back(self, row: Submission) -> None:
        """The run is being stopped and this one's job with it."""


@dataclass
class _Batch:
    work: Work
    pool: SharingExecutor
    bar: Progress
    task: Any
    stop: threading.Event
    counts: Counter[str] = field(default_factory=Counter)
    running: dict[Future, Submission] = field(default_factory=dict)
    in_hand: Submission | None = None  # being prepared, or committed, or run by this thread
    tries: Counter[int] = field(default_factory=Counter)
    broken: dict[int, tuple[Submission, Exception]] = field(default_factory=dict)
    in_a_row: list[int] = field(default_factory=list)

    def run(self) -> None:
        most = 1 if self.pool.workers == 1 else 2 * self.pool.workers  # a worker that ends finds the next job waiting
        while True:
            while len(self.running) < most and not self._given_up() and (row := self._next()) is not None:
                self._start(row)
            if not self.running:
                return
            done, _ = wait(self.running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            for future in [future for future in self.running if future in done]:  # in the order of their claims
                row = self.running[future]
                self._settle(row, functools.partial(self._commit, row, future))
                del self.running[future]

    def _given_up(self) -> bool:
        return len(set(self.in_a_row)) >= GIVE_UP_AFTER

    def _next(self) -> Submission | None:
        row = self.work.claim()
        while row is None and not self.running:
            left = [number for number in self.broken if self.tries[number] < TRIES]
            if not left:
                return None
            for number in left:
                self.work.again(self.broken.pop(number)[0])
            row = self.work.claim()
        return row

    def _start(self, row: Submission) -> None:
        self.tries[row.id] += 1

        def prepared() -> str:
            call = self.work.prepare(row)
            if isinstance(call, str):
                return call
            future = self.pool.submit(_stoppable, self.stop, call.function, *call.arguments)
            self.running[future] = row
            return ""

        self._settle(row, prepared)

    def _commit(self, row: Submission, future: Future) -> str:
        return self.work.commit(row, future.result())

    def _settle(self, row: Submission, step: Callable[[], str]) -> None:
        self.in_hand = row
        try:
            what = step()
        except Exception as error:
            self.work.broken(row, error)
            self.broken[row.id] = row, error
            self.in_a_row.append(row.id)
        else:
            if not what:
                return
            self.in_a_row.clear()
            self.counts[what] += 1
            self.bar.advance(self.task)
        shown = self.counts + Counter({"ERROR": len(self.broken)})
        self.bar.update(
            self.task, counts=", ".join(f"{count} {what}" for what, count in sorted(shown.items()) if count)
        )


def run_batch(work: Work, pool: SharingExecutor, total: int, *, progress: bool = True) -> Counter[str]:
    """Do all of `work` on `pool`; what became of how many.

    Args:
        total: how many submissions wait, for the progress bar.
    Raises:
        RecordsError: errors of ours remained after all tries, or too many came in a row; everything else is recorded.
        Exception: the same for a bug, which keeps its traceback.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not progress) as bar:
        stop = _Stop()
        batch = _Batch(work, pool, bar, bar.add_task(work.title, total=total, counts=""), stop)
        try:
            batch.run()
        except BaseException:
            stop.set()
            for row in {row.id: row for row in (*batch.running.values(), batch.in_hand) if row is not None}.values():
                with contextlib.suppress(Exception):  # then it is recovered by the next run
                    work.give_back(row)
            raise
    if batch.broken:
        _report(list(batch.broken.values()), work.title)
    return batch.counts


def _report(broken: list[tuple[Submission, Exception]], title: str) -> None:
    for _, error in broken:
        if not isinstance(error, CourseError | OSError | MemoryError):
            raise error
    row, first = broken[0]
    reason = clean(f"{first}" or type(first).__name__)
    raise RecordsError(
        f"{len(broken)} submissions could not be judged by {title}, nobody was marked for it; the first is submission "
        f"{row.id} of {row.student}: {reason}; run it again"
    ) from first


class _Stop(threading.Event):
    """Ends the jobs of this process; a copy that has travelled to another is never set, there the worker is ended."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Stop, ()


def _stoppable(stop: threading.Event, function: Callable[..., Any], *arguments: Any) -> Any:
    with supervise.stopped_by(stop):
        return function(*arguments)
