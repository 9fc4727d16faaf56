"""Read `solutions/course.toml`, the one list of exercises, tasks, points, models and dates.

Everything else derives from it, so it is strict: an unknown key, a due date without a time zone or a
point that is not a positive integer is an error that names the exercise and what was expected.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autograder.course.toml_table import Table, is_positive, nearest
from autograder.errors import ManifestError

PACKAGE = "exercise_code"  # the one package that students' notebooks import
EXERCISE_ID = re.compile(r"[0-9]{2}_[a-z][a-z0-9_]{0,39}")
TASK_ID = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MODEL_FILE = re.compile(r"[a-z][a-z0-9_]{0,39}\.onnx")
_DATASET = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Task:
    """One thing to solve; `points` is a positive integer."""

    id: str
    points: int


@dataclass(frozen=True)
class Question:
    """One thing to answer in words, graded by hand in nbgrader's formgrader; `points` is a positive integer."""

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
    max_flops: int | None = None  # of one image, a multiplication with its addition counting two


@dataclass(frozen=True)
class Quota:
    """How many hand-ins of one student are taken per UTC day and in all; None is no limit. Refused ones do not count."""

    per_day: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class HiddenSetSpec:
    """Which data set scores the models; a model passes when 100 * correct >= pass_percent * n.

    `split`: the board shows one half before the deadline and ranks on the other after it. Too small a set is not split.
    """

    dataset: str
    pass_percent: int
    split: bool = True


@dataclass(frozen=True)
class BoardSpec:
    """What the leaderboard shows: `rank` is the model file that ranks, `before` one it is compared with (None: no
    comparison), `pareto` adds the plot of accuracy against parameters.
    """

    rank: str
    before: str | None = None
    pareto: bool = False


@dataclass(frozen=True)
class Exercise:
    """One exercise; `due` carries a time zone, the two limits are whole seconds.

    What the machine grades and what people grade are counted apart: `max_points` are the tasks', so that no result of
    autograde waits for anybody; the questions' points live in nbgrader's gradebook.
    """

    id: str
    title: str
    due: datetime
    cell_timeout_s: int
    notebook_timeout_s: int
    data: tuple[str, ...]
    tasks: tuple[Task, ...]
    models: tuple[ModelContract, ...]
    hidden_set: HiddenSetSpec | None
    board_spec: BoardSpec | None = None
    questions: tuple[Question, ...] = ()
    quota: Quota | None = None

    @property
    def board(self) -> BoardSpec | None:
        """What the leaderboard shows; without `[exercise.board]` it is ranked by the first model. None: no models."""
        return self.board_spec or (BoardSpec(self.models[0].file) if self.models else None)

    @property
    def max_points(self) -> int:
        return sum(task.points for task in self.tasks)

    @property
    def graded(self) -> tuple[Task | Question, ...]:
        """Everything that has points, by machine or by hand."""
        return (*self.tasks, *self.questions)

    @property
    def question_points(self) -> int:
        return sum(question.points for question in self.questions)

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
    top = Table(document, f"{path.name}")
    about = top.table("course")
    name, term = about.text("name"), about.text("term", re.compile(r"[0-9a-z][0-9a-z_-]{0,19}"))
    about.done()
    exercises = tuple(_exercise(table) for table in top.tables("exercise"))
    top.done()
    if not exercises:
        raise ManifestError(f"{path.name}: no [[exercise]] in it, expected at least one")
    _unique("exercise id", [exercise.id for exercise in exercises], path.name)
    _unique("exercise number", [exercise.id[:2] for exercise in exercises], path.name)
    _unique("task id", [task.id for exercise in exercises for task in exercise.tasks], path.name)
    return Course(name, term, tuple(sorted(exercises, key=lambda exercise: exercise.id)), path)


def _exercise(table: Table) -> Exercise:
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
    tasks = tuple(Task(*_graded(item)) for item in table.tables("task"))
    questions = tuple(Question(*_graded(item)) for item in table.tables("question"))
    models = tuple(_model(item) for item in table.tables("model"))
    hidden = _hidden_set(table.table("hidden_set")) if "hidden_set" in table.items else None
    board = _board(table.table("board"), [model.file for model in models]) if "board" in table.items else None
    quota = _quota(table.table("quota")) if "quota" in table.items else None
    table.done()
    if not tasks:
        raise ManifestError(f"{table.where}: no [[exercise.task]], expected at least one")
    _unique("task id", [*(task.id for task in tasks), *(question.id for question in questions)], table.where)
    _unique("model file", [model.file for model in models], table.where)
    if hidden is not None and not models:
        raise ManifestError(f"{table.where}: a hidden_set but no [[exercise.model]] to score; add one")
    return Exercise(
        exercise_id, title, due, cell, notebook, tuple(data), tasks, models, hidden, board, questions, quota
    )


def _due(table: Table) -> datetime:
    raw = table.items.pop("due", None)
    try:
        due = raw if isinstance(raw, datetime) else datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        due = None
    if due is None or due.utcoffset() is None:
        got = "nothing" if raw is None else repr(str(raw))
        raise ManifestError(f"{table.where}: due is {got}, expected a time with zone like '2026-12-16T15:59:59+01:00'")
    return due


def _graded(table: Table) -> tuple[str, int]:
    found = table.text("id", TASK_ID), table.positive("points")
    table.done()
    return found


def _model(table: Table) -> ModelContract:
    file, shape = table.text("file", _MODEL_FILE), table.value("input", list)
    if len(shape) != 3 or not all(is_positive(side) for side in shape):
        raise ManifestError(f"{table.where}: input is {shape!r}, expected [channels, height, width]")
    classes, parameters, size = (table.positive(key) for key in ("classes", "max_parameters", "max_bytes"))
    flops = table.positive("max_flops") if "max_flops" in table.items else None
    table.done()
    return ModelContract(file, (shape[0], shape[1], shape[2]), classes, parameters, size, flops)


def _quota(table: Table) -> Quota:
    found = {key: table.positive(key) for key in ("per_day", "total") if key in table.items}
    table.done()
    if not found:
        raise ManifestError(f"{table.where}: a quota without per_day and total, expected at least one of them")
    return Quota(**found)


def _hidden_set(table: Table) -> HiddenSetSpec:
    spec = HiddenSetSpec(
        table.text("dataset", _DATASET), table.positive("pass_percent"), table.value("split", bool, True)
    )
    table.done()
    if spec.pass_percent > 100:
        raise ManifestError(f"{table.where}: pass_percent is {spec.pass_percent}, expected 1 to 100")
    return spec


def _board(table: Table, files: list[str]) -> BoardSpec:
    spec = BoardSpec(
        table.text("rank"),
        table.text("before") if "before" in table.items else None,
        table.value("pareto", bool, False),
    )
    table.done()
    for key, file in (("rank", spec.rank), ("before", spec.before)):
        if file is not None and file not in files:
            raise ManifestError(f"{table.where}: {key} is {file!r}, expected one of the exercise's models {files}")
    if spec.before == spec.rank:
        raise ManifestError(f"{table.where}: before and rank are both {spec.rank!r}, expected two different models")
    return spec


def _unique(what: str, values: list[str], where: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ManifestError(f"{where}: {what} {value!r} appears {values.count(value)} times")
