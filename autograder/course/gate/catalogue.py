"""The gate's third look: checks with hints, typical mistakes that lose, honest variants that pass."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from autograder.course.build import notebook_source, read_cells
from autograder.course.gate import programs
from autograder.course.gate.findings import Finding, Outcome, last_line, one_line
from autograder.course.manifest import Course, Exercise
from autograder.errors import CourseError

NAME = "catalogue"
LEAST = {"wrong": 10, "right": 5}  # entries per task
TIMEOUT_S = 300


def examine(course: Course, exercise: Exercise, outcome: Outcome, *, quick: bool = False) -> None:
    """Run the exercise's catalogues in a process of their own and judge the outcomes; quick: with the visible cases only."""
    draws = ["--reruns", "1"] if quick else []
    report, error = programs.run_python(
        ["-m", "tests.catalogue", exercise.id, *draws], cwd=course.root, timeout_s=TIMEOUT_S, path=course.root
    )
    try:
        content = json.loads(report)
    except ValueError:
        outcome.findings.append(
            Finding(exercise.id, NAME, f"the catalogues do not run: {one_line(last_line(error))}",
                    f"Run `python -m tests.catalogue {exercise.id}`")
        )  # fmt: skip
        return
    outcomes = content["outcomes"]
    kinds = Counter(one["kind"] for one in outcomes)
    outcome.figures[NAME] = f"{kinds['wrong']} wrong, {kinds['right']} right"
    outcome.findings += [*_tasks(course, exercise, content["tasks"]), *_entries(exercise, outcomes)]


def _tasks(course: Course, exercise: Exercise, checks: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """Compare the checks of the package with manifest and notebook."""
    place = f"exercise_code/checks/exercise_{exercise.id[:2]}.py"
    wanted = {task.id for task in exercise.tasks}
    for task in sorted(wanted - set(checks)):
        yield Finding(exercise.id, NAME, f"no check for task {task!r}", f"Add it to CHECKS of {place}")
    for task in sorted(set(checks) - wanted):
        yield Finding(exercise.id, NAME, f"check {task!r} has no task in the manifest", f"Remove it from {place}")
    try:
        cells = read_cells(notebook_source(course, exercise))
    except CourseError:
        cells = []  # `structure` has said so
    pulls = {cell.id: cell.pulls for cell in cells if cell.kind == "task"}
    for task, check in checks.items():
        if check["exercise"] != exercise.id:
            yield Finding(exercise.id, NAME, f"check {task!r} is for {check['exercise']!r}", f"Correct it in {place}")
        if len({hint.strip() for hint in check["hints"]} - {""}) != 3:
            yield Finding(exercise.id, NAME, f"task {task!r} has no three different hints", f"Write them in {place}")
        if pulls.get(task) and check["home"] not in pulls[task]:
            yield Finding(
                exercise.id,
                NAME,
                f"a right answer to {task!r} takes the place of {check['home']!r}, but its cell shows {pulls[task][0]!r}",
                f"Give its Check home={pulls[task][0]!r}",
            )


def _entries(exercise: Exercise, outcomes: list[dict[str, Any]]) -> Iterator[Finding]:
    for one in outcomes:
        if one["problem"]:
            shown = f"{one['kind']} answer {one['name']!r} to {one['task']!r} {one['problem']}"
            says = f"; the student reads: {one_line(one['message'], 200)}" if one["message"] else ""
            yield Finding(exercise.id, NAME, shown + says, "Correct the check, or the entry")
    counts = Counter((one["task"], one["kind"]) for one in outcomes)
    for task in exercise.tasks:
        for kind, least in LEAST.items():
            if (found := counts[task.id, kind]) < least:
                folder = f"tests/{kind}_answers/exercise_{exercise.id[:2]}.py"
                yield Finding(
                    exercise.id,
                    NAME,
                    f"task {task.id!r} has {found} {kind} answers, expected {least}",
                    f"Add to {folder}",
                )
