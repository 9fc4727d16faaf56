"""`new`: the skeleton of an exercise that releases and passes the gate, to be replaced piece by piece."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from autograder.course import templates
from autograder.course.bundle import write_file
from autograder.course.manifest import EXERCISE_ID, PACKAGE, Course
from autograder.errors import CourseError

_HEADER = re.compile(r'(?m)^\[\[exercise\]\][^\n]*\n(?:(?!\[)[^\n]*\n)*?id = "([^"]+)"')


@dataclass(frozen=True)
class Created:
    """What `new` wrote, relative to the course's root; the manifest was added to."""

    exercise: str
    files: tuple[str, ...]


def new(course: Course, exercise_id: str, title: str) -> Created:
    """Write notebook source, checks and catalogues of a new exercise with one small task, and its manifest entry.

    Raises:
        CourseError: malformed id or title, a number that is taken, or a file that exists; nothing was written then.
    """
    if not EXERCISE_ID.fullmatch(exercise_id):
        raise CourseError(f"exercise id {exercise_id!r}: expected two digits and a name, like 09_attention")
    if not title.strip() or not title.isprintable():
        raise CourseError(f"title {title!r}: expected one line of text")
    number = exercise_id[:2]
    taken = next((known for known in course.ids if known[:2] == number), None)
    if taken:
        raise CourseError(f"number {number} is taken by {taken}; choose another")
    task = f"clip_{exercise_id[3:]}"[:40]
    names = {"id": exercise_id, "number": number, "task": task, "title": title.strip()}
    texts = {
        f"solutions/{exercise_id}/{exercise_id}.py": templates.NOTEBOOK,
        f"{PACKAGE}/checks/exercise_{number}.py": templates.CHECKS,
        f"tests/wrong_answers/exercise_{number}.py": templates.WRONG,
        f"tests/right_answers/exercise_{number}.py": templates.RIGHT,
    }
    known_tasks = {known.id for exercise in course.exercises for known in exercise.tasks}
    if task in known_tasks:
        raise CourseError(f"task {task!r} of the skeleton exists already; choose another name than {exercise_id[3:]!r}")
    for name in texts:
        if (course.root / name).exists():
            raise CourseError(f"{name} exists already; `new` overwrites nothing, move it away or choose another number")
    manifest = _with_entry(course, names)
    for name, text in texts.items():
        for key, value in names.items():
            text = text.replace(f"<{key}>", value)
        write_file(course.root / name, text.encode("utf-8"))
    write_file(course.path, manifest.encode("utf-8"))
    return Created(exercise_id, (*texts, str(Path("solutions") / course.path.name)))


def _with_entry(course: Course, names: dict[str, str]) -> str:
    """Return the manifest's text with the new entry at its place in the order of ids, all else as it is."""
    due = max(exercise.due for exercise in course.exercises) + timedelta(days=7)
    entry = templates.MANIFEST.replace("<due>", due.isoformat())
    entry = entry.replace("<title>", json.dumps(names["title"], ensure_ascii=False))
    for key in ("id", "task"):
        entry = entry.replace(f"<{key}>", names[key])
    text = course.path.read_text(encoding="utf-8").rstrip("\n") + "\n"
    later = next((found for found in _HEADER.finditer(text) if found.group(1) > names["id"]), None)
    if later is None:
        return f"{text}\n{entry}"
    return f"{text[: later.start()]}{entry}\n{text[later.start() :]}"
