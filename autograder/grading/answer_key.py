"""What all notebooks of an exercise are graded with, read once per batch and picklable, so that it can travel to a worker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autograder.course import build, bundle
from autograder.course.manifest import Exercise
from autograder.errors import CourseError
from autograder.grading.sandbox import Sandbox
from autograder.grading.warm import Warm, warm

_STRINGS = re.compile(r"""f?("[^"]*"|'[^']*')""")
_PIECE = 16  # characters of a hidden test that no message may repeat


@dataclass(frozen=True)
class AnswerKey:
    """The trusted side of a notebook: which cells there are, what the checks ask, what they are worth.

    Attributes:
        released: the notebook that students got.
        restored: grade id -> cell as nbgrader restores it, with hidden tests and checksum.
        checks: grade id -> text of the check cell with its hidden tests.
        stubs: grade id of a check -> released text of its task cell.
        hidden: pieces of the hidden tests' code, blanks taken out, which no message may repeat.
    """

    exercise: Exercise
    released: dict[str, Any]
    restored: dict[str, dict[str, Any]]
    checks: dict[str, str]
    stubs: dict[str, str]
    hidden: frozenset[str]
    warm: Warm
    snapshot_sha256: str


def load(course_dir: Path, exercise: Exercise, sandbox: Sandbox) -> AnswerKey:
    """Read what `release` wrote.

    Raises:
        CourseError: the exercise was not released, or nbgrader does not know it.
        SandboxError: the sandbox does not start.
    """
    from autograder.records.nbgrader_book import restored

    source = _released_file(course_dir / "source" / exercise.id / exercise.notebook, exercise)
    released = _released_file(course_dir / "release" / exercise.id / exercise.notebook, exercise)
    names = {build.grade_id("check", task.id): build.grade_id("task", task.id) for task in exercise.tasks}
    checks = {cell["id"]: cell["source"] for cell in source["cells"] if cell["id"] in names}
    texts = {cell["id"]: cell["source"] for cell in released["cells"]}
    digest = bundle.digest(bundle.read_folder(course_dir / "snapshot" / exercise.id))
    plots = any("matplotlib" in text for text in texts.values())
    return AnswerKey(
        exercise=exercise,
        released=released,
        restored=restored(course_dir, exercise, released),
        checks=checks,
        stubs={check: texts[answer] for check, answer in names.items() if answer in texts},
        hidden=_hidden_code(checks, released),
        warm=warm(course_dir, exercise.id, digest, plots=plots, sandbox=sandbox),
        snapshot_sha256=digest,
    )


def travelling(key: AnswerKey) -> AnswerKey:
    """The key with the files that a worker on another machine does not have."""
    return replace(key, warm=key.warm.travelling())


def _released_file(path: Path, exercise: Exercise) -> dict[str, Any]:
    try:
        return build.read_notebook(path.read_bytes())
    except OSError as error:
        raise CourseError(f"{exercise.id} is not released: no {path}; run `release {exercise.id}`") from error


def _hidden_code(checks: Mapping[str, str], released: Mapping[str, Any]) -> frozenset[str]:
    """Pieces of the hidden tests' code; the messages of their assertions are meant to be read.

    What the released notebook shows anyway, the name of a function for example, is no secret.
    """
    shown = {cell["id"]: set(map(str.strip, cell["source"].splitlines())) for cell in released["cells"]}
    pieces: set[str] = set()
    for name, text in checks.items():
        for line in map(str.strip, text.splitlines()):
            if line not in shown.get(name, ()) and not line.startswith("#"):
                code = "".join(_STRINGS.sub("\0", line).split())
                pieces |= {code[at : at + _PIECE] for at in range(len(code) - _PIECE + 1)}
    public = "".join("".join(cell["source"] for cell in released["cells"]).split())
    return frozenset(piece for piece in pieces if "\0" not in piece and piece not in public)


def repeats(text: str, hidden: frozenset[str]) -> bool:
    """Whether a text holds a piece of a hidden test."""
    code = "".join(text.split())
    return any(code[at : at + _PIECE] in hidden for at in range(len(code) - _PIECE + 1))
