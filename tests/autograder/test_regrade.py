"""Regrading: a rehearsal and a report first; what is committed is new rows only."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from autograder import __main__ as cli
from autograder.course.manifest import load
from autograder.errors import RecordsError
from autograder.grading import notebooks
from autograder.grading.autograde import Graded, NotebookResult, TaskResult
from autograder.grading.judge import Judged
from autograder.grading.regrade import outdated, regrade
from autograder.grading.score import Tools, score
from autograder.records.gradebook import Gradebook
from autograder.records.grades import grades
from autograder.records.rows import Notebook
from autograder.records.withdraw import withdraw
from tests.autograder import small_course
from tests.autograder.small_course import CLASSES, EXERCISE, SIZE, make_course, tiny_model

MODELS = {tiny_model(seed): seed for seed in range(3)}


def answers(inputs, seed):
    """What a tiny model says, uint8 (N,)."""
    weights = np.random.default_rng(seed).normal(size=(CLASSES, CLASSES)).astype(np.float32)
    return (inputs.reshape(SIZE, CLASSES) / np.float32(255) @ weights).argmax(1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three scored students; models answer without a sandbox."""

    def tools(path, *_):
        inputs = np.load(path)
        return Tools(lambda data, contract: Judged(CLASSES**2, answers(inputs, MODELS[data])), True)

    monkeypatch.setattr("autograder.grading.score._real_tools", tools)
    made = make_course(tmp_path / "small", list(zip(("anna", "ben", "cleo"), MODELS, strict=True)))
    score(load(made / "course.toml"), EXERCISE, made / "course", progress=False)
    return made


def run(folder, **options):
    return regrade(load(folder / "course.toml"), EXERCISE, folder / "course", progress=False, **options)


def another_hidden_set(folder):
    """Labels that the weights of anna's model answer, and nobody else's."""
    hidden = folder / "course" / "hidden" / EXERCISE
    inputs = np.load(hidden / "inputs.npy")
    labels = answers(inputs, 0)
    np.save(hidden / "labels.npy", labels)
    meta = json.loads((hidden / "meta.json").read_text())
    meta["version"] = hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest()[:12]
    (hidden / "meta.json").write_text(json.dumps(meta))
    return meta["version"]


def record(folder):
    """Everything in the record, times included."""
    with Gradebook(folder / "course") as book:
        rows = book.submissions()
        return rows, book.results(EXERCISE), [book.events(row.id) for row in rows], book.notebooks(EXERCISE)


def test_regrading_everything_changes_no_byte_of_the_exported_scores(folder):
    before, page = record(folder), small_course.published(folder)
    report = run(folder, commit=True)
    assert (report.changes, report.same, report.contradictions, report.rows) == ([], 3, [], 0)
    assert record(folder) == before and small_course.published(folder) == page
    assert list((folder / "course" / "work").iterdir()) == []


def test_a_new_hidden_set_is_reported_first_and_committed_by_new_rows(folder, capsys):
    old = record(folder)
    version = another_hidden_set(folder)
    course = load(folder / "course.toml")
    assert outdated(course.exercise(EXERCISE), folder / "course") == 3
    report = run(folder)
    assert {row.student: row.new for row in report.changes}["anna"] == "100.00 % passed"
    assert record(folder) == old, "a report changed the record"
    places = ["--course", str(folder / "course.toml"), "--course-dir", str(folder / "course")]
    assert cli.main(["score", EXERCISE, *places, "--quiet"]) == 2
    assert "3 submissions of 04_grid_search were judged on another hidden set" in capsys.readouterr().err
    assert record(folder) == old

    assert cli.main(["regrade", EXERCISE, *places, "--quiet", "--yes", "--engine", "serial"]) == 0
    assert "committed, 3 submissions got new rows" in capsys.readouterr().out
    results = record(folder)[1]
    assert results[:3] == old[1] and {row.dataset_version for row in results[3:]} == {version} and len(results) == 6
    with Gradebook(folder / "course") as book:
        now = grades(course.exercise(EXERCISE), folder / "course", book)
        assert now["anna"].standing.shown.correct == now["anna"].standing.shown.total
        assert [event.what for event in book.events(1)][-4:] == ["queued", "running", "predicted", "scored"]
        assert "regrade by" in book.events(1)[-4].detail
    assert run(folder).changes == [] and outdated(course.exercise(EXERCISE), folder / "course") == 0
    assert cli.main(["score", EXERCISE, *places, "--quiet"]) == 0


def test_one_student_whose_failure_was_ours_after_all_gets_a_score(folder):
    with Gradebook(folder / "course") as book:
        now = book.add_submission(EXERCISE, "dora", book.submissions()[0].sha256, datetime(2026, 12, 2, tzinfo=UTC))
        book.set_state(now.submission_id, "running")
        judged = book.submissions()[0].judged_with
        book.set_state(now.submission_id, "FAILED", "timeout", "the machine was busy", judged_with=judged)
    others = record(folder)[0][:3]
    report = run(folder, student="dora", commit=True)
    assert [(row.student, row.old) for row in report.changes] == [("dora", "FAILED(timeout)")] and report.rows == 1
    after = record(folder)
    assert after[0][3].state == "scored" and after[0][:3] == others and len(after[1]) == 4


def test_two_truths_under_one_version_are_never_committed(folder, monkeypatch):
    with Gradebook(folder / "course") as book:
        old = book.results(EXERCISE)[0]
    real = Gradebook.results

    def told(book, exercise):
        rows = real(book, exercise)
        if book.path.parent == folder / "course":  # as if the scorer had counted otherwise once
            rows = [
                replace(row, correct=row.correct - 1) if row.submission_id == old.submission_id else row for row in rows
            ]
        return rows

    monkeypatch.setattr(Gradebook, "results", told)
    before = record(folder)
    assert "submission 1" in run(folder).contradictions[0]
    with pytest.raises(
        RecordsError, match="nothing was committed: submission 1: model.onnx had .* by the same scorer 1"
    ):
        run(folder, commit=True)
    assert record(folder) == before


def result(points, message=""):
    return NotebookResult(points, 2, {"tanh": TaskResult(points, 2, message)}, "graded", None, "", "s" * 64)


def test_a_notebook_that_is_worth_more_now_is_a_further_attempt(folder, monkeypatch):
    course_dir, saved = folder / "course", []
    release = course_dir / "source" / EXERCISE
    release.mkdir(parents=True)
    (release / f"{EXERCISE}.ipynb").write_text("{}")
    (course_dir / "snapshot" / EXERCISE).mkdir(parents=True)
    exercise = load(folder / "course.toml").exercise(EXERCISE)
    digest = notebooks.release_digest(course_dir, exercise)
    with Gradebook(course_dir) as book:
        for number in (1, 2, 3):
            book.add_notebook_result(Notebook(number, digest, 0.0, 2.0, {"tanh": [0.0, 2, ""]}, "graded", "", "", True))

    def grade(student, content):
        return Graded(result(2.0 if student == "ben" else 0.0), b"submitted", b"autograded")

    made = notebooks._Grading(grade, True, lambda student, graded: saved.append(student))
    monkeypatch.setattr(notebooks, "real_grading", lambda *args: made)
    report = run(folder)
    assert [(row.student, row.new.split(", ")[1]) for row in report.changes] == [("ben", "2/2 points")] and saved == []
    assert run(folder, commit=True).rows == 1
    with Gradebook(course_dir) as book:
        tries = [(row.attempt, row.points) for row in book.notebook_results(2)]
        assert tries == [(0, 0.0), (1, 2.0)] and len(book.notebook_results(1)) == 1
        assert grades(exercise, course_dir, book)["ben"].points == 2.0
    assert saved == ["ben"], "nbgrader hears of what changed"
    assert run(folder, commit=True).rows == 0


def test_what_was_withdrawn_is_left_out(folder):
    withdraw(load(folder / "course.toml"), folder / "course", 2, "ben asked")
    assert run(folder).same == 2
    with pytest.raises(RecordsError, match="nothing of ben was graded or could be"):
        run(folder, student="ben")
