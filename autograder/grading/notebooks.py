"""`autograde`: every collected notebook without points on the current release, several at a time, whatever the others do.

Jobs run the notebooks; this coordinator alone writes: first nbgrader's folders and gradebook, then the record, which decides
what is done. Killed between the two, the next run grades that notebook again and replaces what nbgrader has.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.errors import RecordsError
from autograder.grading.batch import Call, Engine, run_batch
from autograder.intake import store
from autograder.intake.archive import Rejected, open_submission
from autograder.records.leases import grading
from autograder.records.rows import Notebook, Submission, clean
from exercise_code.jobs import usable_cores

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise
    from autograder.grading.autograde import Graded, NotebookResult
    from autograder.records.gradebook import Gradebook

_TIMES = ("timeout", "kernel_unresponsive")
_TIME_WORDS = (
    "took longer than",
    "stopped answering",
)  # of `verdicts.judge` and `execute`; a second look costs no points
Grader = Callable[[str, bytes], "NotebookResult | Graded"]  # (student id, notebook) -> points or a reason
Save = Callable[[str, "Graded"], None]  # (student id, notebook) into nbgrader's folders and gradebook


@dataclass
class AutogradeReport:
    """(student, points, max points) and (student, code, detail) of one run; `kept` were graded before."""

    graded: list[tuple[str, float, float]] = field(default_factory=list)
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    kept: int = 0


def autograde(
    course: Course,
    exercise_id: str,
    course_dir: Path,
    *,
    unsafe: bool = False,
    progress: bool = True,
    engine: Engine | None = None,
    grader: Callable[[], tuple[Grader, bool]] | None = None,
) -> AutogradeReport:
    """Grade the notebook of every submission that was not rejected; a release that changed is graded anew.

    Points and gradebook are the same whatever the engine and its workers are.

    Args:
        unsafe: run notebooks without any isolation; every such result is stamped `sandboxed = 0`.
        engine: where notebooks run; here, one after the other, when None.
        grader: makes (grade one, is it sandboxed); the real one when None.

    A notebook that our side cannot grade is tried again after the others and then left as it is. One that ran out of time
    while the machine was overloaded is run a second time, after the others; what comes out then counts.

    Raises:
        CourseError: something of ours is missing or broken; what was graded stays.
    """
    exercise = course.exercise(exercise_id)
    with grading(course_dir) as book, ExitStack() as stack:
        release = release_digest(course_dir, exercise)
        done = book.notebooks(exercise.id)
        rows = [row for row in book.submissions(exercise.id) if row.state != "REJECTED"]
        waiting = [row for row in rows if row.id not in done or done[row.id].snapshot_sha != release]
        report = AutogradeReport(kept=len(rows) - len(waiting))
        if not waiting:
            return report
        engine = engine or Engine()
        if grader is not None:
            made = _Grading(*grader(), save=None)
        else:
            made = real_grading(exercise, course_dir, unsafe, engine, stack)
        with engine.open() as pool:
            grade = pool.share(made.grade)  # once for all jobs, with the answer key where it must travel
            kept = {row.id for row in rows} - {row.id for row in waiting}
            newest = {row.student: row.id for row in rows if row.id in kept}
            work = _Autograding(exercise, course_dir, book, release, made, grade, deque(waiting), newest)
            run_batch(work, pool, len(waiting), progress=progress)
        return work.report(waiting, report)


@dataclass(frozen=True)
class _Grading:
    grade: Grader
    sandboxed: bool
    save: Save | None  # None for stand-ins, of which nbgrader does not hear


def real_grading(exercise: Exercise, course_dir: Path, unsafe: bool, engine: Engine, stack: ExitStack) -> _Grading:
    """How notebooks are graded; nbgrader's gradebook stays open for as long as `stack`."""
    from autograder.grading import answer_key
    from autograder.grading.autograde import grade_job
    from autograder.grading.sandbox import Sandbox
    from autograder.records.nbgrader_book import nbgrader_book

    course_dir = Path(course_dir).absolute()
    sandbox = Sandbox.unsafe() if unsafe else Sandbox.detect()
    key = answer_key.load(course_dir, exercise, sandbox)
    if engine.name == "dask":
        key = answer_key.travelling(key)
    book = stack.enter_context(nbgrader_book(course_dir, exercise))
    return _Grading(functools.partial(grade_job, key, unsafe), sandbox.is_safe, book.save)


def overloaded() -> bool:
    """Whether more than three programs wait for each core here: then a time limit says little about a notebook."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > 3 * usable_cores()


def _ran_out_of_time(result: NotebookResult) -> bool:
    messages = [task.message for task in result.per_task.values() if not task.points]
    return result.code in _TIMES or any(word in message for message in messages for word in _TIME_WORDS)


def _grade_with(grade: Grader, student: str, notebook: bytes) -> NotebookResult | Graded:
    """Call `grade`, which came to this worker as something shared."""
    return grade(student, notebook)


@dataclass
class _Autograding:
    """The work of `batch.run_batch`."""

    exercise: Exercise
    course_dir: Path
    book: Gradebook
    release: str
    made: _Grading
    grade: Any  # `made.grade`, as jobs get it
    waiting: deque[Submission]
    newest: dict[str, int]  # student -> the newest submission that nbgrader has
    title: str = "autograde"
    results: dict[int, Notebook] = field(default_factory=dict)
    doubted: set[int] = field(default_factory=set)  # ran out of time on an overloaded machine, and are run once more

    def claim(self) -> Submission | None:
        return self.waiting.popleft() if self.waiting else None

    def prepare(self, row: Submission) -> Call | str:
        """A submission that no longer opens (a limit was lowered) is the only failure made here."""
        try:
            files = open_submission(store.get(self.course_dir, row.sha256), self.exercise).files
        except Rejected as error:
            return self._record(row, points=0.0, tasks={}, state="FAILED", code=error.code, detail=error.detail)
        return Call(_grade_with, (self.grade, row.student, files[self.exercise.notebook]))

    def commit(self, row: Submission, answer: NotebookResult | Graded) -> str:
        from autograder.grading.autograde import Graded

        result = answer.result if isinstance(answer, Graded) else answer
        if row.id not in self.doubted and _ran_out_of_time(result) and overloaded():
            self.doubted.add(row.id)
            self.waiting.append(row)  # behind all others, where the machine may be calmer; that time it counts
            return ""
        # nbgrader knows one notebook per student: the newest, whichever job was the first to end
        is_newest = row.id >= self.newest.get(row.student, row.id)
        if isinstance(answer, Graded) and self.made.save is not None and is_newest:
            self.made.save(row.student, answer)
            self.newest[row.student] = row.id
        return self._record(
            row,
            points=float(result.points),
            tasks={name: [one.points, one.max_points, clean(one.message)] for name, one in result.per_task.items()},
            state=result.state,
            code=result.code or "",
            detail=result.detail,
            suspicions=result.suspicions,
        )

    def broken(self, row: Submission, error: Exception) -> None:
        """Nothing is recorded: without a result it waits for the next run."""

    def again(self, row: Submission) -> None:
        self.waiting.append(row)

    def give_back(self, row: Submission) -> None:
        """Nothing was taken from the record."""

    def report(self, order: list[Submission], report: AutogradeReport) -> AutogradeReport:
        """What was done, in the order of receipt, whichever job was the first to end."""
        for row in order:
            if (notebook := self.results.get(row.id)) is None:
                continue
            if notebook.state == "graded":
                report.graded.append((row.student, notebook.points, notebook.max_points))
            else:
                report.failed.append((row.student, notebook.code, clean(notebook.detail)))
        return report

    def _record(self, row: Submission, **result: Any) -> str:
        notebook = Notebook(
            submission_id=row.id,
            snapshot_sha=self.release,
            max_points=float(self.exercise.max_points),
            sandboxed=self.made.sandboxed,
            **result,
        )
        self.book.add_notebook_result(notebook)
        self.results[row.id] = notebook
        return notebook.state


def release_digest(course_dir: Path, exercise: Exercise) -> str:
    """sha256 over what a notebook is graded with: the source with its hidden tests, and the package snapshot.

    Raises:
        RecordsError: when the exercise was not released from this course folder.
    """
    source = course_dir / "source" / exercise.id / exercise.notebook
    snapshot = course_dir / "snapshot" / exercise.id
    if not source.is_file() or not snapshot.is_dir():
        raise RecordsError(f"{exercise.id} was not released into {course_dir}; run release {exercise.id} first")
    digest = hashlib.sha256(source.read_bytes())
    for path in sorted(snapshot.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"\0{path.relative_to(snapshot).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()
