"""Look for solutions and hidden tests in what is about to be released, however it was stripped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from autograder.course.manifest import PACKAGE, Course, Exercise
from autograder.course.strip import secret_lines
from autograder.errors import CourseError

_MIN_CHARACTERS = 12  # shorter lines (`return out`) are in every program
_PROMPT = re.compile(r"^(>>>|\.\.\.) ")
_MARKERS = ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS")


def secrets_of(course: Course, exercise: Exercise, notebook: Mapping[str, Any]) -> dict[str, str]:
    """Return distinctive line -> where it comes from, for all that the release of `exercise` must not show.

    Left out are short lines and lines that also stand, word for word, in code or doctests outside the regions.
    """
    found: dict[str, str] = {}
    public: set[str] = set()
    for name, text, all_secret in _masters(course, notebook):
        secret, rest = secret_lines(text, from_exercise=exercise.id, name=name)
        if all_secret:
            secret, rest = secret + rest, []
        for line in map(_normal, secret):
            if len(line.replace(" ", "")) >= _MIN_CHARACTERS:
                found.setdefault(line, name)
        public |= {_PROMPT.sub("", line) for line in map(_normal, rest) if not line.startswith("#")}
    return {line: name for line, name in found.items() if line not in public}


def refuse_leaks(secrets: Mapping[str, str], files: Mapping[str, bytes]) -> None:
    """Check every file of a release.

    Raises:
        CourseError: a secret line or a marker is in one of them; names the file and the line's origin.
    """
    for path, content in sorted(files.items()):
        text = "\n".join(_normal(line) for line in _texts(path, content))
        for marker in _MARKERS:
            if marker in text:
                raise CourseError(f"leak: {path} holds {marker!r}; the stripping missed a region, release nothing")
        for line, origin in secrets.items():
            if line in text and re.search(rf"(?<!\w){re.escape(line)}(?!\w)", text):
                raise CourseError(
                    f"leak: {path} shows {line!r}, which is a solution or hidden test of {origin}; "
                    "take it out of the text or put it inside the markers"
                )


def _masters(course: Course, notebook: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for path in sorted((course.root / PACKAGE).rglob("*.py")):
        if "tests" not in path.relative_to(course.root).parts:
            yield str(path.relative_to(course.root)), path.read_text(encoding="utf-8"), False
    for cell in notebook["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        is_answer = cell["cell_type"] == "markdown" and bool(about)  # the model answer of a question
        if cell["cell_type"] == "code" or is_answer:
            yield f"cell {cell['id']}", cell["source"], is_answer


def _texts(path: str, content: bytes) -> Iterable[str]:
    text = content.decode("utf-8", errors="replace")
    if path.endswith(".ipynb"):
        return [line for string in _strings(json.loads(text)) for line in string.split("\n")]
    return text.split("\n")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):  # nbformat splits a cell's text into lines; put them together again
        if all(isinstance(item, str) for item in value):
            yield "".join(value)
        else:
            for item in value:
                yield from _strings(item)


def _normal(line: str) -> str:
    return " ".join(line.split())
