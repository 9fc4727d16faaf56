"""The gate's second look: what lies in `exercises/` is the release of these sources, and shows nothing it must not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from autograder.course import build, bundle, leaks
from autograder.course.gate.findings import Finding
from autograder.course.manifest import Course, Exercise
from autograder.course.release import make, refuse_outputs
from autograder.errors import CourseError

NAME = "released"


def examine(course: Course, exercise: Exercise, *, quick: bool = False) -> Iterator[Finding]:
    """Release twice into memory; compare with each other and with `exercises/NN_slug/`; quick: once."""
    remedy = f"Run `python -m autograder release {exercise.id}` and commit the result"
    with tempfile.TemporaryDirectory(prefix="gate-") as scratch:
        try:
            first = make(course, exercise.id, Path(scratch))
            second = first if quick else make(course, exercise.id, Path(scratch))
        except CourseError as error:
            yield Finding(exercise.id, NAME, str(error))
            return
    if first != second:
        yield Finding(exercise.id, NAME, "two releases of the same sources differ", "Find what is not deterministic")
    folder = course.root / "exercises" / exercise.id
    lies_there = bundle.read_folder(folder)
    if not lies_there:
        yield Finding(exercise.id, NAME, f"exercises/{exercise.id}/ is missing", remedy)
        return
    yield from _secrets(exercise, first.secrets, lies_there)
    for name in sorted(set(lies_there) | set(first.released)):
        path = f"exercises/{exercise.id}/{name}"
        if name not in first.released:
            yield Finding(exercise.id, NAME, f"{path} does not belong to the release", "Remove it")
        elif lies_there.get(name) != first.released[name]:
            yield Finding(exercise.id, NAME, f"{path} is {'stale' if name in lies_there else 'missing'}", remedy)


def _secrets(exercise: Exercise, secrets: dict[str, str], files: dict[str, bytes]) -> Iterator[Finding]:
    try:
        leaks.refuse_leaks(secrets, {f"exercises/{exercise.id}/{name}": data for name, data in files.items()})
        refuse_outputs(build.read_notebook(files[exercise.notebook]))
    except CourseError as error:
        yield Finding(exercise.id, NAME, str(error))
    except (KeyError, ValueError, TypeError):
        yield Finding(exercise.id, NAME, f"exercises/{exercise.id}/{exercise.notebook} is missing or no notebook")
