"""Autograde one notebook: nbgrader outside, the student's kernel in the sandbox, points from a trusted step.

`run_notebook` is the job: it needs no course folder and no gradebook, and works in a process of its own, so that it can
run beside others and on other machines. What it returns is recorded by the coordinator.

A notebook that cannot be graded at all is FAILED with a code and gets zeros, also in nbgrader's gradebook.
A kernel that dies on the way costs the tasks not yet checked; the notebook is FAILED only when no check ran
to its end, or when it was over its whole time (what was checked before keeps its points). What is not the
student's fault raises and is to be repeated. Answers in words are none of these points: nbgrader's gradebook marks
each as waiting for a person (as 0 when the cell is untouched), and its formgrader shows them.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.course import build
from autograder.course.manifest import Course, Exercise
from autograder.errors import SandboxError, SubmissionError
from autograder.grading import answer_key, sanitise
from autograder.grading.answer_key import AnswerKey
from autograder.grading.judge import borrowed
from autograder.grading.sandbox import Sandbox
from exercise_code.jobs import JobCrashed, JobTimeout, in_child

if TYPE_CHECKING:
    from autograder.grading.execute import SandboxedExecute

_STUDENT = re.compile(r"[a-z][a-z0-9_-]{1,31}")
_KERNELS = 3  # that one notebook may need, one after the other: its own and two of `recheck`
_SPARE_S = 60.0  # for starting and ending each of them on a busy machine


@dataclass(frozen=True)
class TaskResult:
    """Points of one task, 0 or `max_points`, and why."""

    points: float
    max_points: int
    message: str


@dataclass(frozen=True)
class NotebookResult:
    """Outcome for one notebook; `code` is None when graded, `detail` may be empty."""

    points: float
    max_points: int
    per_task: dict[str, TaskResult]
    state: str  # "graded" or "FAILED"
    code: str | None
    detail: str
    snapshot_sha256: str
    suspicions: tuple[str, ...] = ()  # for staff to look at; no points depend on them


@dataclass(frozen=True)
class Graded:
    """What a job returns: the result, and the notebook before and after it ran, for nbgrader's folders."""

    result: NotebookResult
    submitted: bytes
    autograded: bytes


def autograde_one(
    course: Course,
    exercise: Exercise,
    course_dir: Path,
    student_id: str,
    notebook_bytes: bytes,
    sandbox: Sandbox,
) -> NotebookResult:
    """Grade and record one submitted notebook; running it again gives the same single grade.

    Raises:
        SubmissionError: not a student id.
        SandboxError: the kernel could not be started; not the student's fault.
        CourseError: the exercise was not released, or nbgrader failed.
    """
    from autograder.records.nbgrader_book import nbgrader_book

    check_student(student_id)
    course_dir = Path(course_dir).absolute()
    key = answer_key.load(course_dir, exercise, sandbox)
    graded = run_notebook(key, sandbox, notebook_bytes)
    with nbgrader_book(course_dir, exercise) as book:
        book.save(student_id, graded)
    return graded.result


def grade_job(key: AnswerKey, unsafe: bool, student_id: str, content: bytes) -> Graded:
    """`run_notebook` in a sandbox that no other job of this process has at the same time; for `batch.Call`.

    Raises:
        SubmissionError: not a student id.
        SandboxError: not the student's fault.
    """
    check_student(student_id)
    with borrowed(unsafe) as sandbox:
        return run_notebook(key, sandbox, content)


def check_student(student_id: str) -> None:
    """Raise SubmissionError for an id that could be a path."""
    if not _STUDENT.fullmatch(student_id):
        raise SubmissionError(f"student id {student_id!r}: expected lower-case letters, digits, _ or -")


def run_notebook(key: AnswerKey, sandbox: Sandbox, content: bytes) -> Graded:
    """Run a submitted notebook and judge its checks; writes nothing outside its folders in /tmp, which it takes away.

    Raises:
        SandboxError: the kernel could not be started, or the process around it ended; not the student's fault.
    """
    _imports()
    prefix = f"k{secrets.token_hex(4)}-"
    most = _KERNELS * (key.exercise.notebook_timeout_s + _SPARE_S)
    key = replace(key, warm=key.warm.here())
    try:
        return in_child(_grade, key, sandbox, content, prefix, timeout=most, setup=_imports)
    except (JobCrashed, JobTimeout) as error:
        raise SandboxError(f"the process that grades a notebook gave no result: {error}") from error
    finally:
        with suppress(OSError):
            for folder in Path("/tmp").glob(f"{prefix}*"):
                shutil.rmtree(folder, ignore_errors=True)


def _imports() -> None:
    """All that `_grade` uses, before this process is copied: once, and not while another thread holds an import's lock."""
    import nbgrader.preprocessors  # noqa: F401

    import autograder.grading.execute  # noqa: F401


def _grade(key: AnswerKey, sandbox: Sandbox, content: bytes, prefix: str) -> Graded:
    import nbformat
    from nbgrader.preprocessors import LimitOutput

    from autograder.grading.execute import SandboxedExecute
    from autograder.grading.kernel import kernel_limits

    refused: sanitise.Refused | None = None
    try:
        prepared = sanitise.prepare(content, key.released, key.checks)
    except sanitise.Refused as refusal:
        refused, prepared = refusal, sanitise.nothing(key.released)
    quiet = logging.Logger("kernel", logging.CRITICAL)
    execute = SandboxedExecute(
        sandbox=sandbox,
        warm=key.warm,
        checks=key.checks,
        missing=prepared.missing,
        limits=kernel_limits(key.exercise.notebook_timeout_s),
        stubs=key.stubs,
        released={cell["source"] for cell in key.released["cells"]},
        prefix=prefix,
        timeout=key.exercise.cell_timeout_s,
        log=quiet,
    )
    notebook = nbformat.from_dict(sanitise.restore(prepared.notebook, key.restored))
    notebook, _ = execute.preprocess(notebook, {})
    notebook, _ = LimitOutput(log=quiet).preprocess(notebook, {})
    return Graded(
        result=_result(key, execute, prepared, refused),
        submitted=build.notebook_bytes(prepared.notebook),
        autograded=(nbformat.writes(notebook) + "\n").encode(),
    )


def _without(message: str, hidden: frozenset[str]) -> str:
    """The message, unless the student's code has put a hidden test into it."""
    if answer_key.repeats(message, hidden):
        return f"{message.partition(':')[0]}: (the text is left out, it repeats the check)"
    return message


def _result(
    key: AnswerKey,
    execute: SandboxedExecute,
    prepared: sanitise.Prepared,
    refused: sanitise.Refused | None,
) -> NotebookResult:
    exercise, per_task = key.exercise, {}
    for task in exercise.tasks:
        name = build.grade_id("check", task.id)
        if refused is not None:
            per_task[task.id] = TaskResult(0.0, task.points, refused.detail)
        else:
            verdict = execute.verdicts[name]
            points = float(task.points) if verdict.passed else 0.0
            per_task[task.id] = TaskResult(points, task.points, _without(verdict.message, key.hidden))
    code, details = None, list(prepared.notes)
    if refused is not None:
        code, details = refused.code, [refused.detail]
    elif execute.stop is not None:
        details.insert(0, execute.stop.message)
        if execute.stop.code == "timeout" or not any(verdict.ran for verdict in execute.verdicts.values()):
            code = execute.stop.code
    return NotebookResult(
        points=sum(task.points for task in per_task.values()),
        max_points=exercise.max_points,
        per_task=per_task,
        state="graded" if code is None else "FAILED",
        code=code,
        detail="; ".join(details),
        snapshot_sha256=key.snapshot_sha256,
        suspicions=execute.suspicions,
    )
