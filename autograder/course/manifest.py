"""Read `solutions/course.toml`, the one list of exercises, tasks, points, models and dates.

Everything else derives from it, so it is strict: an unknown key, a due date without a time zone or a
point that is not a positive integer is an error that names the exercise and what was expected.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from autograder.errors import ManifestError

PACKAGE = "exercise_code"  # the one package that students' notebooks import
EXERCISE_ID = re.compile(r"[0-9]{2}_[a-z][a-z0-9_]{0,39}")
TASK_ID = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MODEL_FILE = re.compile(r"[a-z][a-z0-9_]{0,39}\.onnx")
_DATASET = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_ONE_LINE = re.compile(r"\S[^\n\r]*")
_REQUIRED: Any = object()


@dataclass(frozen=True)
class Task:
    """One thing to solve; `points` is a positive integer."""

    id: str
    points: int


@dataclass(frozen=True)
class ModelContract:
    """One ONNX file to hand in; `input` is (C, H, W), float32 in [0, 1]."""

    file: str
    input: tuple[int, int, int]
    classes: int
    max_parameters: int
    max_bytes: int


@dataclass(frozen=True)
class HiddenSetSpec:
    """Which data set scores the models; a model passes when 100 * correct >= pass_percent * n."""

    dataset: str
    pass_percent: int


@dataclass(frozen=True)
class Exercise:
    """One exercise; `due` carries a time zone, the two limits are whole seconds."""

    id: str
    title: str
    due: datetime
    cell_timeout_s: int
    notebook_timeout_s: int
    data: tuple[str, ...]
    tasks: tuple[Task, ...]
    models: tuple[ModelContract, ...]
    hidden_set: HiddenSetSpec | None

    @property
    def max_points(self) -> int:
        return sum(task.points for task in self.tasks)

    @property
    def notebook(self) -> str:
        return f"{self.id}.ipynb"


@dataclass(frozen=True)
class Course:
    """The whole manifest; `path` is the file it was read from, exercises are sorted by id."""

    name: str
    term: str
    exercises: tuple[Exercise, ...]
    path: Path

    @property
    def root(self) -> Path:
        """The checkout: the folder that holds `solutions/`, the package and `datasets/`."""
        return self.path.parent.parent

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(exercise.id for exercise in self.exercises)

    def exercise(self, exercise_id: str) -> Exercise:
        """Return the exercise with this id.

        Raises:
            ManifestError: no such exercise; the message names the nearest one.
        """
        for exercise in self.exercises:
            if exercise.id == exercise_id:
                return exercise
        raise ManifestError(
            f"no exercise {exercise_id!r} in {self.path}{nearest(exercise_id, self.ids)}; it has: {', '.join(self.ids)}"
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean '...'?` for the closest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def load(path: Path | str) -> Course:
    """Read and validate a manifest.

    Raises:
        ManifestError: the file is missing, not TOML, or breaks a rule; one line says where and which.
    """
    path = Path(path).absolute()
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ManifestError(f"cannot read the manifest {path}: {error.strerror}") from error
    except ValueError as error:  # tomllib.TOMLDecodeError and UnicodeDecodeError
        raise ManifestError(f"{path} is not TOML in UTF-8: {error}") from error
    top = _Table(document, f"{path.name}")
    about = top.table("course")
    name, term = about.text("name"), about.text("term", re.compile(r"[0-9a-z][0-9a-z_-]{0,19}"))
    about.done()
    exercises = tuple(_exercise(table) for table in top.tables("exercise"))
    top.done()
    if not exercises:
        raise ManifestError(f"{path.name}: no [[exercise]] in it, expected at least one")
    _unique("exercise id", [exercise.id for exercise in exercises], path.name)
    _unique("exercise number", [exercise.id[:2] for exercise in exercises], path.name)
    return Course(name, term, tuple(sorted(exercises, key=lambda exercise: exercise.id)), path)


def _exercise(table: _Table) -> Exercise:
    exercise_id = table.text("id", EXERCISE_ID)
    table.where = f"{table.where} {exercise_id}"
    title = table.text("title")
    due = _due(table)
    cell, notebook = table.positive("cell_timeout_s"), table.positive("notebook_timeout_s")
    if notebook < cell:
        raise ManifestError(
            f"{table.where}: notebook_timeout_s is {notebook}, expected at least cell_timeout_s ({cell})"
        )
    data = table.value("data", list, [])
    for name in data:
        if not isinstance(name, str) or not _DATASET.fullmatch(name):
            raise ManifestError(f"{table.where}: data is {data!r}, expected a list of data set names")
    tasks = tuple(_task(item) for item in table.tables("task"))
    models = tuple(_model(item) for item in table.tables("model"))
    hidden = _hidden_set(table.table("hidden_set")) if "hidden_set" in table.items else None
    table.done()
    if not tasks:
        raise ManifestError(f"{table.where}: no [[exercise.task]], expected at least one")
    _unique("task id", [task.id for task in tasks], table.where)
    _unique("model file", [model.file for model in models], table.where)
    if hidden is not None and not models:
        raise ManifestError(f"{table.where}: a hidden_set but no [[exercise.model]] to score; add one")
    return Exercise(exercise_id, title, due, cell, notebook, tuple(data), tasks, models, hidden)


def _due(table: _Table) -> datetime:
    raw = table.items.pop("due", _REQUIRED)
    try:
        due = raw if isinstance(raw, datetime) else datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        due = None
    if due is None or due.utcoffset() is None:
        got = "nothing" if raw is _REQUIRED else repr(str(raw))
        raise ManifestError(f"{table.where}: due is {got}, expected a time with zone like '2026-12-16T15:59:59+01:00'")
    return due


def _task(table: _Table) -> Task:
    task = Task(table.text("id", TASK_ID), table.positive("points"))
    table.done()
    return task


def _model(table: _Table) -> ModelContract:
    file, shape = table.text("file", _MODEL_FILE), table.value("input", list)
    if len(shape) != 3 or not all(_is_positive(side) for side in shape):
        raise ManifestError(f"{table.where}: input is {shape!r}, expected [channels, height, width]")
    numbers = [table.positive(key) for key in ("classes", "max_parameters", "max_bytes")]
    table.done()
    return ModelContract(file, (shape[0], shape[1], shape[2]), *numbers)


def _hidden_set(table: _Table) -> HiddenSetSpec:
    spec = HiddenSetSpec(table.text("dataset", _DATASET), table.positive("pass_percent"))
    table.done()
    if spec.pass_percent > 100:
        raise ManifestError(f"{table.where}: pass_percent is {spec.pass_percent}, expected 1 to 100")
    return spec


def _unique(what: str, values: list[str], where: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ManifestError(f"{where}: {what} {value!r} appears {values.count(value)} times")


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class _Table:
    """One TOML table that is emptied key by key; what `done` still finds in it is unknown."""

    def __init__(self, items: dict[str, Any], where: str) -> None:
        self.items, self.where = dict(items), where
        self.known: list[str] = []

    def value(self, key: str, kind: type, default: Any = _REQUIRED) -> Any:
        self.known.append(key)
        value = self.items.pop(key, default)
        if value is _REQUIRED:
            hint = nearest(key, self.items).replace("did you mean", "is it")
            raise ManifestError(f"{self.where}: {key!r} is missing{hint}")
        if not isinstance(value, kind):
            raise ManifestError(f"{self.where}: {key} is {value!r}, expected a {kind.__name__}")
        return value

    def text(self, key: str, pattern: re.Pattern[str] = _ONE_LINE) -> str:
        value = self.value(key, str)
        if not pattern.fullmatch(value):
            raise ManifestError(f"{self.where}: {key} is {value!r}, expected the form {pattern.pattern}")
        return value

    def positive(self, key: str) -> int:
        value = self.value(key, object)
        if not _is_positive(value):
            raise ManifestError(f"{self.where}: {key} is {value!r}, expected a positive integer")
        return value

    def table(self, key: str) -> _Table:
        return _Table(self.value(key, dict), f"{self.where}: {key}")

    def tables(self, key: str) -> list[_Table]:
        items = self.value(key, list, [])
        if not all(isinstance(item, dict) for item in items):
            raise ManifestError(f"{self.where}: {key} is not a list of tables, write [[{key}]]")
        return [_Table(item, f"{self.where}: {key} {number}") for number, item in enumerate(items, 1)]

    def done(self) -> None:
        known = {*self.known, "due"} if "title" in self.known else set(self.known)
        for key in self.items:
            raise ManifestError(f"{self.where}: unknown key {key!r}{nearest(key, known)}")
