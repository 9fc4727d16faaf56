"""Whatever runs the models, however many at a time and however often: the same record and the same published bytes."""

from dataclasses import replace

import pytest

from autograder.course.manifest import load
from autograder.grading.batch import Engine
from autograder.grading.score import score
from autograder.intake.roster import Student
from autograder.records.export import export_grades, scores_bytes
from autograder.records.gradebook import Gradebook
from tests.autograder.small_course import EXERCISE, make_course, outcome, published, tiny_model

STUDENTS = 6
TABLES = ("result", "prediction", "file")


@pytest.fixture(scope="module")
def models(box):
    good = [(f"student{n}", tiny_model(n)) for n in range(STUDENTS)]
    return [*good, ("pickle", b"\x80\x04K\x01."), ("nan", tiny_model(1, scale=float("nan")))]


def grade(folder, engine=None):
    return score(load(folder / "course.toml"), EXERCISE, folder / "course", progress=False, engine=engine)


def rows(folder):
    """Everything that the record holds about results, without times and row numbers."""
    with Gradebook(folder / "course") as book:
        found = {}
        for table in TABLES:
            columns = [row["name"] for row in book._db.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(name for name in columns if name not in ("id", "created_at"))
            found[table] = sorted(map(tuple, book._db.execute(f"SELECT {kept} FROM {table}")))
        submissions = [replace(row, created_at="") for row in book.submissions()]
    return found | {"submission": submissions, "states": outcome(folder)[0]}


@pytest.mark.slow
def test_serial_local_and_dask_give_the_same_record_and_the_same_bytes(tmp_path, models):
    engines = {"serial": Engine(), "three": Engine("local", 3), "dask": Engine("dask", 2)}
    folders = {name: make_course(tmp_path / name, models) for name in engines}
    reports = {name: grade(folders[name], engine) for name, engine in engines.items()}
    first, page = rows(folders["serial"]), published(folders["serial"])
    assert len(first["result"]) == STUDENTS
    assert (first["states"]["pickle"], first["states"]["nan"]) == (("FAILED", "not_onnx"), ("FAILED", "non_finite"))
    for name in ("three", "dask"):
        assert rows(folders[name]) == first and reports[name] == reports["serial"]
        assert published(folders[name], names_of=folders["serial"]) == page


@pytest.mark.slow
def test_grading_everything_again_changes_no_byte_of_what_is_exported(tmp_path, models):
    folder = make_course(tmp_path / "c", models)
    course, course_dir = load(folder / "course.toml"), folder / "course"
    roster = {name: Student(name, name.title()) for name, _ in models}

    def exported():
        export_grades(course, course_dir, roster, folder / "grades.csv")
        with Gradebook(course_dir) as book:
            return scores_bytes(course, course_dir, book), (folder / "grades.csv").read_bytes()

    grade(folder, Engine("local", 2))
    before, held = exported(), rows(folder)
    with Gradebook(course_dir) as book:
        for row in book.submissions():
            book.set_state(row.id, "queued", detail="again")
    assert len(grade(folder, Engine("local", 2)).scored) == STUDENTS
    assert exported() == before and rows(folder) == held
