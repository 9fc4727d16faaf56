"""Exercises that hand in no model, one, or two: from the student's `submit` to grades.csv."""

import csv
import hashlib
import json
import types
import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest

from autograder.course import manifest
from autograder.course.bundle import exercise_json
from autograder.grading.judge import Judged
from autograder.grading.notebooks import autograde
from autograder.grading.score import Tools, score
from autograder.intake.collect import collect
from autograder.intake.roster import load_roster
from autograder.records.export import export_grades, scores_bytes
from autograder.records.gradebook import Gradebook
from autograder.records.status import status
from exercise_code.networks import ClassificationNet
from exercise_code.submit import SubmissionRefused, submit

MANIFEST = (
    """\
[course]
name = "Introduction to Deep Learning"
term = "2026w"
[[exercise]]
id = "01_sigmoid"
title = "Activations"
due = "2026-11-25T15:59:59+01:00"
cell_timeout_s = 5
notebook_timeout_s = 10
[[exercise.task]]
id = "sigmoid"
points = 3
[[exercise]]
id = "06_hyperopt"
title = "Two networks"
due = "2027-01-20T15:59:59+01:00"
cell_timeout_s = 5
notebook_timeout_s = 10
[[exercise.task]]
id = "space"
points = 2
"""
    + "".join(
        f"""[[exercise.model]]
file = "{name}.onnx"
input = [1, 2, 2]
classes = 10
max_parameters = 100_000
max_bytes = 1_000_000
"""
        for name in ("baseline", "tuned")
    )
    + """[exercise.hidden_set]
dataset = "mnist"
pass_percent = 48
split = false
"""
)
SIZE = 20
TIME = datetime(2026, 11, 20, 10, tzinfo=UTC)
RIGHT = {"baseline.onnx": 9, "tuned.onnx": 15}


@pytest.fixture
def course(tmp_path):
    path = tmp_path / "solutions" / "course.toml"
    path.parent.mkdir()
    path.write_text(MANIFEST, encoding="utf-8")
    return manifest.load(path)


@pytest.fixture
def term(tmp_path, course):
    """What collect and autograde need: a drop, a roster, and released files of both exercises."""
    roster = tmp_path / "roster.csv"
    roster.write_text("student_id,name\nanna,Anna Bauer\nben,Ben Costa\n")
    course_dir = tmp_path / "course"
    for exercise in course.exercises:
        (course_dir / "source" / exercise.id).mkdir(parents=True)
        (course_dir / "source" / exercise.id / exercise.notebook).write_text("{}")
        (course_dir / "snapshot" / exercise.id).mkdir(parents=True)
    return types.SimpleNamespace(drop=tmp_path / "drop", roster=roster, dir=course_dir)


def work_folder(tmp_path, exercise, student):
    """A student's folder: the notebook and the exercise.json that the release put beside it."""
    folder = tmp_path / student / exercise.id
    folder.mkdir(parents=True)
    cells = [{"cell_type": "code", "source": f"# {student}"}]
    (folder / exercise.notebook).write_text(json.dumps({"cells": cells, "nbformat": 4}))
    (folder / "exercise.json").write_bytes(exercise_json(exercise))
    return folder


def hand_in(tmp_path, exercise, student, **options):
    folder = work_folder(tmp_path, exercise, student)
    (tmp_path / "drop").mkdir(exist_ok=True)
    return submit(exercise.id, notebook=folder / exercise.notebook, out=tmp_path / "drop" / f"{student}.zip", **options)


def two_models(**changes):
    nets = {name: ClassificationNet(input_size=4, hidden_size=3) for name in RIGHT}
    return {"models": nets, "claimed": dict.fromkeys(RIGHT, 0.5), "input_shape": (1, 2, 2)} | changes


def grader():
    task = types.SimpleNamespace(points=3.0, max_points=3, message="passed")
    result = types.SimpleNamespace(
        points=3.0, state="graded", code=None, detail="", per_task={"sigmoid": task}, suspicions=()
    )
    return lambda student, notebook: result, True


def hidden_set(course_dir, exercise):
    folder = course_dir / "hidden" / exercise.id
    folder.mkdir(parents=True)
    labels = np.arange(SIZE, dtype=np.uint8) % 10
    inputs = np.zeros((SIZE, 1, 2, 2), np.uint8)
    np.save(folder / "inputs.npy", inputs)
    np.save(folder / "labels.npy", labels)
    version = hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest()[:12]
    meta = {"schema": 1, "exercise": exercise.id, "version": version, "size": SIZE, "num_classes": 10}
    (folder / "meta.json").write_text(json.dumps(meta | {"shape": [1, 2, 2], "source": "mnist", "standin": True}))
    return labels


def tools(labels):
    def judge(data, contract):
        classes = (labels + 1) % 10
        classes[: RIGHT[contract.file]] = labels[: RIGHT[contract.file]]
        return Judged(len(data), classes)

    return lambda inputs, n: Tools(judge, True)


def states(course_dir):
    with Gradebook(course_dir) as book:
        return {row.student: row.state for row in book.submissions()}


def grades(course, term, tmp_path):
    export_grades(course, term.dir, load_roster(term.roster), tmp_path / "grades.csv")
    with (tmp_path / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {(row["exercise"], row["student_id"]): row for row in csv.DictReader(file)}


# -- no model ----------------------------------------------------------------------------------------------------------


def test_submit_packs_the_notebook_alone_when_the_exercise_wants_no_model(course, tmp_path, capsys):
    path = hand_in(tmp_path, course.exercise("01_sigmoid"), "anna")

    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["01_sigmoid.ipynb", "submission.json"]
        assert json.loads(archive.read("submission.json"))["claimed"] == {}
    assert "with 01_sigmoid.ipynb, submission.json. Hand in this one file." in capsys.readouterr().out


def test_a_model_that_nobody_asked_for_is_refused(course, tmp_path):
    with pytest.raises(SubmissionRefused, match="not a model of this exercise: it hands in none"):
        hand_in(
            tmp_path,
            course.exercise("01_sigmoid"),
            "anna",
            models={"model.onnx": ClassificationNet(input_size=4)},
            claimed={"model.onnx": 0.5},
            input_shape=(1, 2, 2),
        )


def test_without_a_model_the_way_goes_from_collect_by_autograde_to_the_grades(course, term, tmp_path):
    exercise = course.exercise("01_sigmoid")
    hand_in(tmp_path, exercise, "anna")

    report = collect(course, exercise.id, term.drop, term.roster, term.dir, TIME, progress=False)
    graded = autograde(course, exercise.id, term.dir, progress=False, grader=grader)
    scored = score(course, exercise.id, term.dir, progress=False)

    assert report.counts() == {"validated": 1}, "nothing of it is queued for scoring"
    assert graded.graded == [("anna", 3.0, 3.0)]
    assert scored.note == "01_sigmoid hands in no model: nothing to score, its points come from autograde"
    assert (scored.scored, scored.failed) == ([], [])
    row = grades(course, term, tmp_path)["01_sigmoid", "anna"]
    assert (row["notebook_points"], row["notebook_max"], row["correct"], row["passed"]) == ("3", "3", "", "")
    assert (row["state"], row["code"]) == ("validated", "")
    status(course, term.dir, exercise.id)
    with Gradebook(term.dir) as book:
        boards = json.loads(scores_bytes(course, term.dir, book))["exercises"]
    assert [board["id"] for board in boards] == ["06_hyperopt"], "no leaderboard without a hidden set"


def test_collecting_and_scoring_again_without_a_model_changes_nothing(course, term, tmp_path):
    exercise = course.exercise("01_sigmoid")
    hand_in(tmp_path, exercise, "anna")
    for _ in range(2):
        report = collect(course, exercise.id, term.drop, term.roster, term.dir, TIME, progress=False)
        score(course, exercise.id, term.dir, progress=False)

    assert report.counts() == {"unchanged": 1}
    assert states(term.dir) == {"anna": "validated"}


def test_a_zip_with_a_model_too_many_is_rejected_at_intake(course, term, tmp_path):
    path = hand_in(tmp_path, course.exercise("01_sigmoid"), "anna")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model.onnx", b"weights")

    collect(course, "01_sigmoid", term.drop, term.roster, term.dir, TIME, progress=False)

    assert states(term.dir) == {"anna": "REJECTED"}


# -- two models --------------------------------------------------------------------------------------------------------


def test_submit_packs_both_models_and_refuses_one_alone(course, tmp_path):
    exercise = course.exercise("06_hyperopt")
    with zipfile.ZipFile(hand_in(tmp_path, exercise, "anna", **two_models())) as archive:
        assert archive.namelist() == ["06_hyperopt.ipynb", "baseline.onnx", "submission.json", "tuned.onnx"]

    one = {name: {"tuned.onnx": value["tuned.onnx"]} for name, value in two_models().items() if name != "input_shape"}
    with pytest.raises(
        SubmissionRefused, match="baseline.onnx is missing: this exercise hands in baseline.onnx, tuned"
    ):
        hand_in(tmp_path, exercise, "ben", **one, input_shape=(1, 2, 2))


def test_both_models_are_scored_and_the_submission_is_done_only_then(course, term, tmp_path):
    exercise = course.exercise("06_hyperopt")
    labels = hidden_set(term.dir, exercise)
    hand_in(tmp_path, exercise, "anna", **two_models())
    collect(course, exercise.id, term.drop, term.roster, term.dir, TIME, progress=False)
    assert states(term.dir) == {"anna": "queued"}

    score(course, exercise.id, term.dir, progress=False, tools=tools(labels))

    with Gradebook(term.dir) as book:
        found = {row.model_file: (row.correct, row.total) for row in book.results(exercise.id)}
        board = json.loads(scores_bytes(course, term.dir, book))["exercises"][0]
    assert found == {name: (right, SIZE) for name, right in RIGHT.items()}
    assert states(term.dir) == {"anna": "scored"}
    assert len(board["entries"]) == 1
    row = grades(course, term, tmp_path)["06_hyperopt", "anna"]
    assert (int(row["correct"]), int(row["total"])) == (RIGHT[exercise.board.rank], SIZE)


def test_a_zip_without_the_second_model_is_rejected_at_intake(course, term, tmp_path):
    exercise = course.exercise("06_hyperopt")
    path = hand_in(tmp_path, exercise, "anna", **two_models())
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name != "tuned.onnx"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)

    collect(course, exercise.id, term.drop, term.roster, term.dir, TIME, progress=False)

    with Gradebook(term.dir) as book:
        (row,) = book.submissions()
    assert (row.state, row.code) == ("REJECTED", "missing_file")
    assert "tuned.onnx" in row.detail
