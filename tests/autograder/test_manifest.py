"""The manifest reader takes the documented form and refuses everything else with one helpful line."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from autograder.course import manifest
from autograder.course.manifest import HiddenSetSpec, ModelContract, Question, Task
from autograder.errors import ManifestError

GOOD = """\
[course]
name = "Introduction to Deep Learning"
term = "2026w"
[[exercise]]
id = "05_model_search"
title = "Model search"
due = 2027-01-13T15:59:59+01:00
cell_timeout_s = 60
notebook_timeout_s = 60
[[exercise.task]]
id = "search"
points = 4
[[exercise]]
id = "04_grid_search"
title = "Hyper-parameter search"
due = "2026-12-16T15:59:59+01:00"
cell_timeout_s = 120
notebook_timeout_s = 600
data = ["cifar10"]
[[exercise.task]]
id = "tanh"
points = 2
[[exercise.task]]
id = "leaky_relu"
points = 3
[[exercise.question]]
id = "why"
points = 1
[[exercise.model]]
file = "model.onnx"
input = [3, 32, 32]
classes = 10
max_parameters = 20_000_000
max_bytes = 100_000_000
[exercise.hidden_set]
dataset = "cifar10"
pass_percent = 48
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "solutions" / "course.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_field_of_the_documented_form_arrives(tmp_path):
    course = manifest.load(write(tmp_path, GOOD))

    exercise = course.exercise("04_grid_search")
    assert (course.name, course.term, course.root) == ("Introduction to Deep Learning", "2026w", tmp_path)
    assert exercise.due == datetime(2026, 12, 16, 15, 59, 59, tzinfo=timezone(timedelta(hours=1)))
    assert (exercise.cell_timeout_s, exercise.notebook_timeout_s, exercise.data) == (120, 600, ("cifar10",))
    assert exercise.tasks == (Task("tanh", 2), Task("leaky_relu", 3))
    assert exercise.models == (ModelContract("model.onnx", (3, 32, 32), 10, 20_000_000, 100_000_000),)
    assert exercise.hidden_set == HiddenSetSpec("cifar10", 48)
    assert exercise.questions == (Question("why", 1),)
    assert (exercise.max_points, exercise.question_points, exercise.notebook) == (5, 1, "04_grid_search.ipynb")


def test_exercises_are_sorted_and_optional_parts_are_empty(tmp_path):
    course = manifest.load(write(tmp_path, GOOD))

    assert course.ids == ("04_grid_search", "05_model_search")
    search = course.exercise("05_model_search")
    assert (search.data, search.models, search.hidden_set) == ((), (), None)


def test_an_unknown_exercise_names_the_nearest_one(tmp_path):
    course = manifest.load(write(tmp_path, GOOD))

    with pytest.raises(ManifestError, match=r"'04_gridsearch'.*did you mean '04_grid_search'"):
        course.exercise("04_gridsearch")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'title = "Model search"',
            'titel = "Model search"',
            r"05_model_search: 'title' is missing, is it 'titel'",
        ),
        ('data = ["cifar10"]', 'daten = ["cifar10"]', r"unknown key 'daten', did you mean 'data'"),
        ('data = ["cifar10"]', 'date = "x"', r"unknown key 'date'"),
        ('data = ["cifar10"]', 'data = "cifar10"', r"data is 'cifar10', expected a list"),
        ('data = ["cifar10"]', "data = [3]", r"expected a list of data set names"),
        ('term = "2026w"', 'term = "2026w"\nyear = 3', r"course: unknown key 'year'"),
        ('id = "04_grid_search"', 'id = "4_grid_search"', r"id is '4_grid_search', expected the form"),
        ('id = "04_grid_search"', 'id = "../grid"', r"expected the form"),
        ('id = "04_grid_search"', 'id = "05_model_search"', r"'05_model_search' appears 2 times"),
        ('id = "04_grid_search"', 'id = "05_other"', r"exercise number '05' appears 2 times"),
        ('id = "leaky_relu"', 'id = "tanh"', r"task id 'tanh' appears 2 times"),
        ('id = "leaky_relu"', 'id = "search"', r"task id 'search' appears 2 times"),
        ('id = "why"', 'id = "tanh"', r"04_grid_search: task id 'tanh' appears 2 times"),
        ("points = 1\n", "points = 0\n", r"question 1: points is 0, expected a positive integer"),
        ("points = 3", "points = 0", r"points is 0, expected a positive integer"),
        ("points = 3", "points = 1.5", r"points is 1.5, expected a positive integer"),
        ("points = 3", "points = true", r"points is True, expected a positive integer"),
        ('+01:00"', '"', r"04_grid_search: due is '2026-12-16T15:59:59', expected a time with zone"),
        ("2027-01-13T15:59:59+01:00", "2027-01-13", r"05_model_search: due is '2027-01-13'"),
        ("due = 2027-01-13T15:59:59+01:00", "", r"due is nothing"),
        ("cell_timeout_s = 120", "cell_timeout_s = 700", r"notebook_timeout_s is 600, expected at least"),
        ("input = [3, 32, 32]", "input = [3, 32]", r"expected \[channels, height, width\]"),
        ("input = [3, 32, 32]", "input = [3, 32, -1]", r"expected \[channels, height, width\]"),
        ('file = "model.onnx"', 'file = "model.pkl"', r"file is 'model.pkl', expected the form"),
        ("pass_percent = 48", "pass_percent = 101", r"pass_percent is 101, expected 1 to 100"),
        ("pass_percent = 48", "pass_percent = 48.5", r"pass_percent is 48.5, expected a positive integer"),
        ('[[exercise.task]]\nid = "search"\npoints = 4', "", r"05_model_search: no \[\[exercise.task\]\]"),
        ("[course]", "[course", r"not TOML"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path, old, new, message):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))

    with pytest.raises(ManifestError, match=message) as caught:
        manifest.load(path)
    assert "\n" not in str(caught.value).strip()


def test_a_hidden_set_without_a_model_is_refused(tmp_path):
    start, end = GOOD.index("[[exercise.model]]"), GOOD.index("[exercise.hidden_set]")

    with pytest.raises(ManifestError, match="hidden_set but no"):
        manifest.load(write(tmp_path, GOOD[:start] + GOOD[end:]))


def test_a_missing_or_empty_file_is_one_line(tmp_path):
    with pytest.raises(ManifestError, match="cannot read the manifest"):
        manifest.load(tmp_path / "course.toml")
    with pytest.raises(ManifestError, match="'course' is missing"):
        manifest.load(write(tmp_path, ""))


TWO_MODELS = GOOD.replace(
    "[exercise.hidden_set]",
    '[[exercise.model]]\nfile = "other.onnx"\ninput = [3, 32, 32]\nclasses = 10\nmax_parameters = 9\nmax_bytes = 9\n'
    "[exercise.hidden_set]",
)


def test_the_board_ranks_by_the_first_model_unless_the_manifest_says_otherwise(tmp_path):
    plain = manifest.load(write(tmp_path, TWO_MODELS)).exercise("04_grid_search")
    assert plain.board == manifest.BoardSpec("model.onnx", None, False) and plain.hidden_set.split
    text = f'{TWO_MODELS}split = false\n[exercise.board]\nrank = "other.onnx"\nbefore = "model.onnx"\npareto = true\n'
    told = manifest.load(write(tmp_path, text))
    assert told.exercise("04_grid_search").board == manifest.BoardSpec("other.onnx", "model.onnx", True)
    assert not told.exercise("04_grid_search").hidden_set.split
    assert told.exercise("05_model_search").board is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('rank = "none.onnx"', r"rank is 'none.onnx', expected one of the exercise's models"),
        ('rank = "model.onnx"\nbefore = "x.onnx"', r"before is 'x.onnx', expected one of"),
        ('rank = "model.onnx"\nbefore = "model.onnx"', r"before and rank are both 'model.onnx'"),
        ('rank = "model.onnx"\npareto = 1', r"pareto is 1, expected a bool"),
        ('rank = "model.onnx"\nplot = true', r"unknown key 'plot'"),
        ("pareto = true", r"'rank' is missing"),
    ],
)
def test_a_board_that_cannot_be_made_is_refused(tmp_path, lines, message):
    with pytest.raises(ManifestError, match=message):
        manifest.load(write(tmp_path, f"{TWO_MODELS}[exercise.board]\n{lines}\n"))
