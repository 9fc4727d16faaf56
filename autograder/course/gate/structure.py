"""The gate's first look: files, manifest and cells agree, markers are where a student can reach them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from autograder.course.build import SourceCell, build_notebook, notebook_source, read_cells
from autograder.course.gate.findings import COURSE, Finding
from autograder.course.manifest import EXERCISE_ID, PACKAGE, Course, Exercise
from autograder.course.strip import find_regions
from autograder.errors import CourseError

NAME = "structure"


def stray_folders(course: Course) -> Iterator[Finding]:
    """Exercises that the manifest does not know."""
    for parent in (course.root / "solutions", course.root / "exercises"):
        for path in sorted(parent.iterdir()) if parent.is_dir() else []:
            if path.is_dir() and EXERCISE_ID.fullmatch(path.name) and path.name not in course.ids:
                shown = path.relative_to(course.root)
                yield Finding(COURSE, NAME, f"{shown}/ is not in the manifest", "Add its [[exercise]] or remove it")


def files_of(course: Course, exercise: Exercise) -> dict[str, Path]:
    """Return what an exercise is made of, what it is -> path."""
    number = exercise.id[:2]
    return {
        "notebook source": notebook_source(course, exercise),
        "checks": course.root / PACKAGE / "checks" / f"exercise_{number}.py",
        "typical mistakes": course.root / "tests" / "wrong_answers" / f"exercise_{number}.py",
        "honest variants": course.root / "tests" / "right_answers" / f"exercise_{number}.py",
    }


def examine(course: Course, exercise: Exercise) -> Iterator[Finding]:
    """Look at the sources of one exercise without running anything."""
    for what, path in files_of(course, exercise).items():
        if not path.is_file():
            shown = path.relative_to(course.root)
            yield Finding(exercise.id, NAME, f"no {what}: {shown} is missing", "`new` shows what belongs in it")
    try:
        build_notebook(course, exercise)
        cells = read_cells(notebook_source(course, exercise))
    except CourseError as error:
        yield Finding(exercise.id, NAME, str(error))
        return
    for cell in cells:
        if cell.kind == "check":
            yield from _check_cell(exercise, cell)
    yield from _regions(course, exercise, {name for cell in cells for name in cell.pulls})


def _check_cell(exercise: Exercise, cell: SourceCell) -> Iterator[Finding]:
    called = [
        node.args[0].value
        for node in ast.walk(ast.parse(cell.text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "check"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
    where = f"line {cell.line}, check cell {cell.id!r}"
    if not called:
        yield Finding(exercise.id, NAME, f'{where} has no call of check("{cell.id}", ...)', "Add it as the first line")
    for other in sorted({str(name) for name in called} - {cell.id}):
        yield Finding(exercise.id, NAME, f"{where} checks {other!r}", "A check cell checks its own task only")
    if not any(region.kind == "hidden" for region in find_regions(cell.text, name=where)):
        yield Finding(
            exercise.id, NAME, f"{where} has no hidden tests", "Add other inputs between ### BEGIN/END HIDDEN TESTS"
        )


def _regions(course: Course, exercise: Exercise, pulled: set[str]) -> Iterator[Finding]:
    """Find regions of this exercise that no task cell shows: a student could never solve them."""
    for path in sorted((course.root / PACKAGE).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if exercise.id not in text:
            continue
        shown = path.relative_to(course.root)
        try:
            regions = [found for found in find_regions(text, name=str(shown)) if found.exercise == exercise.id]
            nodes = [node for node in ast.parse(text).body if hasattr(node, "name")]
        except CourseError as error:
            yield Finding(exercise.id, NAME, str(error))
            continue
        except SyntaxError as error:
            yield Finding(exercise.id, NAME, f"{shown}:{error.lineno} is not Python")
            continue
        module = re.sub(r"\.__init__$", "", ".".join(shown.with_suffix("").parts))
        for region in regions:
            owner = next((n.name for n in nodes if n.lineno <= region.begin + 1 <= (n.end_lineno or 0) + 1), "?")
            if f"{module}:{owner}" not in pulled:
                yield Finding(
                    exercise.id,
                    NAME,
                    f"{shown}:{region.begin + 1}: no task cell shows this region of {owner}",
                    f'Give a task cell source="{module}:{owner}" or take the markers away',
                )
