"""The gate's long look: the notebooks run as the grader runs them, solved, unsolved, and with each task left open."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder.course import build
from autograder.course.gate import programs
from autograder.course.gate.findings import Finding, Outcome, last_line, one_line
from autograder.course.manifest import Course, Exercise
from autograder.course.release import release
from autograder.errors import CourseError, SandboxError
from autograder.grading.autograde import NotebookResult, autograde_one
from autograder.grading.sandbox import Sandbox

_OPEN_LATER = {"NotImplementedError", "NameError"}  # how a free cell may end when a task before it is open
_ONE_OPEN_TIMEOUT_S = 420


def examine(course: Course, exercise: Exercise, outcome: Outcome, scratch: Path) -> None:
    """Release into a scratch folder and grade there with the real grader (our own code: a sandbox is not a must)."""
    course_dir = scratch / "course"
    try:
        release(course, exercise.id, course_dir, scratch / "exercises")
        sandbox = Sandbox.detect()
    except SandboxError:
        sandbox = Sandbox.unsafe()
    except CourseError as error:  # `released` was fine, so it is the gradebook's part of the release
        outcome.findings.append(Finding(exercise.id, "solved", f"not released: {error}"))
        return
    solved = build.read_notebook((course_dir / "source" / exercise.id / exercise.notebook).read_bytes())
    unsolved = build.read_notebook((scratch / "exercises" / exercise.id / exercise.notebook).read_bytes())
    for name, notebook, judge in (("solved", solved, _solved), ("unsolved", unsolved, _unsolved)):
        start = time.monotonic()
        try:
            result = autograde_one(course, exercise, course_dir, name, build.notebook_bytes(notebook), sandbox)
        except CourseError as error:
            outcome.findings.append(Finding(exercise.id, name, str(error)))
            continue
        done = json.loads((course_dir / "autograded" / name / exercise.id / exercise.notebook).read_bytes())
        outcome.findings += judge(exercise, result, done["cells"])
        outcome.figures[name] = f"{result.points:g}/{result.max_points} in {time.monotonic() - start:.0f} s"
    snapshot = course_dir / "snapshot" / exercise.id
    start = time.monotonic()
    runs, complaint = one_open(course, exercise, solved, unsolved, snapshot, scratch / "one_open")
    outcome.figures["one open"] = f"{max(len(runs) - 1, 0)} tasks in {time.monotonic() - start:.0f} s"
    outcome.findings += judge_runs(exercise, runs, complaint)


def _solved(exercise: Exercise, result: NotebookResult, cells: list[dict[str, Any]]) -> Iterator[Finding]:
    """Every point, no cell that stops, all within the limits of the manifest (the grader keeps them)."""
    remedy = "Run the solved notebook and correct it, or raise the limit in solutions/course.toml"
    if result.code is not None or result.detail:
        yield Finding(exercise.id, "solved", f"{result.code or 'note'}: {one_line(result.detail)}", remedy)
    for task_id, task in result.per_task.items():
        if task.points != task.max_points:
            yield Finding(exercise.id, "solved", f"task {task_id!r} earns nothing: {one_line(task.message)}", remedy)
    for number, cell in enumerate(cells, 1):
        if (error := _error(cell)) and not _grade_id(cell).startswith("check_"):
            text = f"{error['ename']}: {one_line(error['evalue'])}"
            if error["ename"] == "KeyboardInterrupt":  # how the grader ends a cell
                text = f"the time limit of {exercise.cell_timeout_s} s"
            yield Finding(exercise.id, "solved", f"{_where(number, cell)} stops with {text}", remedy)


def _unsolved(exercise: Exercise, result: NotebookResult, cells: list[dict[str, Any]]) -> Iterator[Finding]:
    """No point, clean messages, and cells that stop only because a task is open."""
    if result.code is not None or result.detail:
        yield Finding(exercise.id, "unsolved", f"{result.code or 'note'}: {one_line(result.detail)}")
    for task_id, task in result.per_task.items():
        if task.points:
            yield Finding(
                exercise.id,
                "unsolved",
                f"task {task_id!r} earns {task.points:g} points",
                "Its check passes on the stub",
            )
        elif not task.message.startswith(f"NotAttempted: {task_id}: not attempted"):
            yield Finding(
                exercise.id, "unsolved", f"task {task_id!r} does not say that it is not attempted: {one_line(task.message)}",
                "Put the stub into a function, and call check() first in the cell",
            )  # fmt: skip
    task_seen = False
    for number, cell in enumerate(cells, 1):
        name, error = _grade_id(cell), _error(cell)
        task_seen = task_seen or name.startswith("task_")
        if error is None:
            continue
        text = f"{error['ename']}: {one_line(error['evalue'])}"
        if name.startswith("check_"):
            if len(error["traceback"]) > 1 or "\n" in "".join(error["traceback"]):
                yield Finding(exercise.id, "unsolved", f"{name} shows a traceback instead of one line: {text}")
        elif not task_seen:
            yield Finding(exercise.id, "unsolved", f"{_where(number, cell)}, before any task, stops with {text}")
        elif error["ename"] not in _OPEN_LATER:
            yield Finding(
                exercise.id, "unsolved", f"{_where(number, cell)} stops with {text}",
                "With open tasks it may meet NotImplementedError or NameError, nothing else",
            )  # fmt: skip


def _where(number: int, cell: dict[str, Any]) -> str:
    """Name a cell by its place in the notebook and the line it begins with."""
    return f"cell {number} ({one_line(''.join(cell['source']).strip().partition(chr(10))[0], 60)})"


def _grade_id(cell: dict[str, Any]) -> str:
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


def _error(cell: dict[str, Any]) -> dict[str, Any] | None:
    return next((output for output in cell.get("outputs", []) if output["output_type"] == "error"), None)


def one_open(
    course: Course, exercise: Exercise, solved: dict[str, Any], unsolved: dict[str, Any], snapshot: Path, home: Path
) -> tuple[list[dict[str, Any]], str]:
    """Run task and check cells solved, and once more with each task left open; return the runs and what went wrong.

    Args:
        solved, unsolved: the two notebooks.
        snapshot: the released package; it is copied to `home`, where the cells run.
    """
    shutil.copytree(snapshot, home)
    folder = home / "exercises" / exercise.id
    folder.mkdir(parents=True)
    stubs = {cell["id"]: cell["source"] for cell in unsolved["cells"]}
    cells = []
    for cell in solved["cells"]:
        kind, _, name = cell["id"].partition("_") if "nbgrader" in cell["metadata"] else ("", "", "")
        if cell["cell_type"] == "code":
            graded = kind in ("task", "check")
            text = {"text": cell["source"], "stub": stubs.get(cell["id"], "")}
            cells.append({"kind": kind if graded else "", "id": name if graded else cell["id"], **text})
    (folder / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
    report, error = programs.run_python(
        ["-P", str(course.root / "tests" / "one_task_open.py"), "cells.json"],
        cwd=folder,
        timeout_s=_ONE_OPEN_TIMEOUT_S,
        path=home,
    )
    return [json.loads(line) for line in report.splitlines()], error


def judge_runs(exercise: Exercise, runs: list[dict[str, Any]], error: str) -> Iterator[Finding]:
    """With a task left open its own check fails with one clean line, and all others pass."""
    if not runs:
        yield Finding(exercise.id, "one open", f"the cells do not run: {one_line(last_line(error))}")
    for run in runs:
        yield from _judge_run(exercise, run)


def _judge_run(exercise: Exercise, run: dict[str, Any]) -> Iterator[Finding]:
    left = run["open"]
    when = f"with {left!r} open" if left else "solved"
    if run.get("crashed"):
        yield Finding(exercise.id, "one open", f"{when} the process ends without a word")
        return
    for name, text in run["cells"].items():
        remedy = "Task cells define; put what they do into a function"
        yield Finding(exercise.id, "one open", f"{when} cell {name!r} stops with {one_line(text)}", remedy)
    for name, verdict in run["checks"].items():
        said = f"{verdict['error']}: {one_line(verdict['message'])}"
        if name == left:
            clean = verdict["error"] == "NotAttempted" and verdict["message"].startswith(f"{name}: not attempted")
            if not clean or "\n" in verdict["message"]:
                said = said if verdict["error"] else "it passes"
                yield Finding(exercise.id, "one open", f"{when} its check should say not attempted, but {said}")
        elif verdict["error"]:
            yield Finding(
                exercise.id, "one open", f"{when} check {name!r} fails too: {said}",
                "A check may use only what is solved before this exercise, and its own task" if left else "",
            )  # fmt: skip
