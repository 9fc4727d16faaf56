"""What staff decide and ask: withdrawing by new rows, explaining a grade, grades for Moodle and Canvas."""

import csv
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from autograder.course.manifest import Course, Exercise, HiddenSetSpec, ModelContract, Quota, Task
from autograder.errors import CourseError, RecordsError
from autograder.intake.roster import load_roster
from autograder.intake.sources import scan
from autograder.records.explain import explain
from autograder.records.export import scores_bytes
from autograder.records.gradebook import Gradebook
from autograder.records.grades import grades
from autograder.records.lms import Asked, export_canvas, export_moodle
from autograder.records.rows import Notebook, Prediction, Result
from autograder.records.withdraw import withdraw

DUE = datetime(2026, 11, 1, 15, tzinfo=UTC)
TIME = DUE - timedelta(days=3)
EXERCISE = Exercise(
    id="04_grid_search",
    title="Grid, search",
    due=DUE,
    cell_timeout_s=10,
    notebook_timeout_s=20,
    data=("cifar10",),
    tasks=(Task("tanh", 2), Task("grid", 3)),
    models=(ModelContract("model.onnx", (3, 32, 32), 10, 1_000_000, 3_000_000),),
    hidden_set=HiddenSetSpec("cifar10", 48),
    quota=Quota(per_day=2, total=5),
)
PLAIN = replace(EXERCISE, id="01_sigmoid", title="Sigmoid", hidden_set=None, models=(), quota=None)
COURSE = Course("Course", "2026w", (PLAIN, EXERCISE), Path("solutions/course.toml"))
ROSTER = """student_id,name,moodle_id,canvas_id
anna,Anna Bauer,1001,71
ben,"=HYPERLINK(""http://x"",""y"")",1002,72
cleo,"Cleo ""Q"", Jr",1003,73
dora,Dora,1004,74
emil,Emil,,
"""
TASKS = {"tanh": [2.0, 2.0, ""], "grid": [0.0, 3.0, "expected 3, got =1+1"]}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """anna 47 then 52 of 100, the second with a better notebook; ben 48; cleo nothing but a late one; dora a failed one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "course"
    hidden = folder / "hidden" / EXERCISE.id
    hidden.mkdir(parents=True)
    meta = {"schema": 1, "exercise": EXERCISE.id, "version": "v1", "size": 100, "num_classes": 10}
    meta |= {"shape": [3, 32, 32], "source": "cifar10", "standin": False}
    (hidden / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "roster.csv").write_text(ROSTER)
    with Gradebook(folder, create=True) as book:
        for number, (student, correct, points) in enumerate((("anna", 47, 2), ("anna", 52, 5), ("ben", 48, 2))):
            row = add(book, student, number)
            score(book, row, correct)
            book.add_notebook_result(Notebook(row, "r" * 64, points, 5.0, TASKS, "graded", "", "", True))
        book.add_submission(EXERCISE.id, "cleo", "c" * 64, DUE + timedelta(1), late=True, rejected=("late", "by a day"))
        failed = add(book, "dora", 7)
        book.set_state(failed, "running")
        book.set_state(failed, "FAILED", "timeout", "not done after 120 s", judged_with="v1/1")
        book.add_notebook_result(Notebook(failed, "r" * 64, 0.0, 5.0, {}, "FAILED", "memory", "-2 GiB", True))
    return tmp_path


def add(book, student, number):
    return book.add_submission(EXERCISE.id, student, f"{number:064x}", TIME + timedelta(hours=number)).submission_id


def score(book, number, correct):
    book.set_state(number, "running")
    book.set_predicted([Prediction(number, "model.onnx", "v1/1", "0" * 64, 1234, True)])
    book.set_scored([Result(number, "model.onnx", "v1", "1", correct, 100, 0, 1234, 5678, True)])


def graded(place):
    with Gradebook(place / "course") as book:
        return grades(EXERCISE, place / "course", book, load_roster(place / "roster.csv"))


def everything(place):
    """All rows of the append-only tables."""
    with Gradebook(place / "course") as book:
        return book.results(EXERCISE.id), [book.notebook_results(row.id) for row in book.submissions()]


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_withdrawn_submission_counts_for_nothing_and_stays_in_the_record(place):
    before = everything(place)
    told = withdraw(COURSE, place / "course", 2, "anna asked by mail", who="ada")
    assert "now counts: model of submission 1, 47 of 100 right, not passed; notebook of submission 1, 2 of 5" in told
    anna = graded(place)["anna"]
    assert (anna.counts.id, anna.standing.shown.correct, anna.passed, anna.points) == (1, 47, False, 2)
    assert len(anna.submissions) == 2 and everything(place) == before
    with Gradebook(place / "course") as book:
        assert [row.submission_id for row in book.best(EXERCISE.id, "model.onnx", "v1", "1")] == [3, 1]
        page = json.loads(scores_bytes(COURSE, place / "course", book))["exercises"][0]
    assert sorted(entry["correct"] for entry in page["entries"]) == [47, 48]
    assert sorted(entry["submissions"] for entry in page["entries"]) == [1, 1]


def test_undoing_a_withdrawal_gives_the_same_scores_as_before(place):
    with Gradebook(place / "course") as book:
        before = scores_bytes(COURSE, place / "course", book)
    withdraw(COURSE, place / "course", 2, "mistake", who="ada")
    told = withdraw(COURSE, place / "course", 2, "was a mistake of ours", undo=True, who="bob")
    assert "counts again" in told and "52 of 100 right, passed" in told
    with Gradebook(place / "course") as book:
        assert scores_bytes(COURSE, place / "course", book) == before
        rows = [(row.what, row.who, row.reason) for row in book.decisions(EXERCISE.id)]
    assert rows == [("withdrawn", "ada", "mistake"), ("restored", "bob", "was a mistake of ours")]


@pytest.mark.parametrize(
    ("number", "reason", "undo", "says"),
    [(99, "x", False, "there is none"), (2, " ", False, "--reason is empty"), (2, "x", True, "is not withdrawn")],
)
def test_a_withdrawal_that_makes_no_sense_changes_nothing(place, number, reason, undo, says):
    with pytest.raises(RecordsError, match=says):
        withdraw(COURSE, place / "course", number, reason, undo=undo)
    withdraw(COURSE, place / "course", 1, "twice")
    with pytest.raises(RecordsError, match="is withdrawn already"):
        withdraw(COURSE, place / "course", 1, "twice")
    with Gradebook(place / "course") as book:
        assert len(book.decisions(EXERCISE.id)) == 1


def test_whoever_withdrew_everything_has_no_grade(place):
    withdraw(COURSE, place / "course", 3, "left the course")
    ben = graded(place)["ben"]
    assert (ben.state, ben.counts, ben.standing, ben.notebook, ben.passed) == ("withdrawn", None, None, None, None)


def test_a_grade_is_explained_from_the_hand_in_to_what_counts(place):
    withdraw(COURSE, place / "course", 1, "wrong file", who="ada")
    text = "\n".join(explain(COURSE, place / "course", "anna", EXERCISE.id))
    for part in (
        "due 2026-11-01 15:00:00 UTC",
        "quota: 5 in all, 2 a day (UTC)",
        "hidden set v1, 100 images; passes with 48 %",
        "submission 1: received 2026-10-29 15:00:00 UTC, sha256 " + "0" * 64,
        "is scored, withdrawn",
        "withdrawn: ada wrong file",
        "model.onnx: 52 of 100 right, hidden set v1, scorer 1, 1,234 parameters, sandboxed",
        "notebook: graded 5 of 5, release rrrrrrrrrrrr, sandboxed",
        "grid: 0 of 3, expected 3, got =1+1",
        "counts: model of submission 2, 52 of 100 right, passed; notebook of submission 2, 5 of 5 points",
        "of 1 scored submissions the one with the most images of the hidden set right (52 of 100)",
        "place 1 of 2 on the final board",
    ):
        assert part in text
    assert "late: by a day" not in text and "late by a day" in "\n".join(
        explain(COURSE, place / "course", "cleo", EXERCISE.id)
    )


def test_an_extension_and_a_flag_are_part_of_the_explanation(place):
    (place / "course" / "extensions.csv").write_text(
        f"student_id,exercise,due\nben,{EXERCISE.id},2026-11-05T12:00:00+01:00\n"
    )
    from autograder.records.staff import Raised

    with Gradebook(place / "course") as book:
        book.add_flags([Raised(3, "close_errors", "kappa 0.99", 2)], who="integrity 1")
    text = "\n".join(explain(COURSE, place / "course", "ben", EXERCISE.id))
    assert "due 2026-11-05 11:00:00 UTC" in text and "by an extension; the exercise was due 2026-11-01" in text
    assert "(for staff), close_errors by integrity 1: kappa 0.99" in text


def test_nobody_is_explained_who_handed_in_nothing(place):
    with pytest.raises(RecordsError, match="'emil' has handed in nothing"):
        explain(COURSE, place / "course", "emil", EXERCISE.id)


def test_moodle_gets_a_worksheet_that_its_importer_reads(place):
    out = place / "moodle.csv"
    done = export_moodle(COURSE, place / "course", EXERCISE.id, load_roster(place / "roster.csv"), out, Asked())
    assert (done.rows, done.left_out) == (4, ["emil: no moodle_id in the roster"])
    raw, rows = out.read_bytes(), {row["Identifier"]: row for row in read(out)}
    assert raw.startswith(b"Identifier,Full name,Status,Grade,Maximum grade,") and raw.count(b"\r\n") == 5
    assert {name: row["Grade"] for name, row in rows.items()} == {
        "Participant 1001": "5",
        "Participant 1002": "2",
        "Participant 1003": "",
        "Participant 1004": "0",
    }
    assert {row["Last modified (grade)"] for row in rows.values()} == {"-"}
    assert rows["Participant 1003"]["Feedback comments"] == "late: by a day"
    assert rows["Participant 1001"]["Feedback comments"] == "tanh 2/2; grid 0/3: expected 3, got =1+1"
    assert rows["Participant 1002"]["Full name"].startswith("'=HYPERLINK")


def test_a_worksheet_of_moodle_is_filled_in_and_keeps_its_columns(place):
    sheet = place / "Grades-1.csv"
    sheet.write_text(
        "\ufeffIdentifier,Full name,ID number,Status,Grade,Maximum grade,Last modified (grade),Feedback comments\n"
        "Participant 555,Anna Bauer,m1,Submitted,,5.00,-,\n"
        "Participant 556,Zoe,m2,Submitted,3.00,5.00,\"Monday, 2 November 2026, 10:00 AM\",well done\n"
        "Participant 1004,Dora D.,m3,Submitted,,5.00,-,\n",
        encoding="utf-8",
    )  # fmt: skip
    out, roster = place / "out.csv", load_roster(place / "roster.csv")
    done = export_moodle(COURSE, place / "course", EXERCISE.id, roster, out, Asked(), sheet)
    assert done.left_out == ["Participant 556, Zoe: nobody in the roster of this name"]
    rows = read(out)
    assert [row["Grade"] for row in rows] == ["5", "3.00", "0"]
    assert rows[0]["ID number"] == "m1" and rows[0]["Maximum grade"] == "5.00"
    assert rows[1]["Feedback comments"] == "well done" and rows[1]["Last modified (grade)"].startswith("Monday")
    assert rows[2]["Feedback comments"] == "memory -2 GiB"


def test_canvas_gets_its_gradebook_with_points_possible(place):
    out, roster = place / "canvas.csv", load_roster(place / "roster.csv")
    export_canvas(COURSE, place / "course", COURSE.ids, roster, out, Asked())
    lines = list(csv.reader(out.open(newline="", encoding="utf-8")))
    assert lines[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Sigmoid", "Grid, search"]
    assert lines[1] == ["    Points Possible", "", "", "", "", "5", "5"]
    assert lines[2] == ["Anna Bauer", "71", "", "", "", "", "5"]
    assert lines[3][0] == '\'=HYPERLINK("http://x","y")' and lines[4][0] == 'Cleo "Q", Jr'
    assert {len(line) for line in lines} == {7}
    asked = Asked("passed", zero_missing=True)
    export_canvas(COURSE, place / "course", [EXERCISE.id], roster, out, asked, "Grid search (4711)")
    assert [row["Grid search (4711)"] for row in read(out)] == ["1", "1", "1", "0", "0"]
    export_canvas(COURSE, place / "course", [EXERCISE.id], roster, out, Asked("accuracy"))
    assert [row["Grid, search"] for row in read(out)] == ["100", "52", "48", "", ""]


def test_the_numbers_in_the_files_are_those_that_collect_reads_from_bulk_downloads(place, tmp_path):
    """Out by `export`, in by `collect --format`: both know a person by the same number."""
    roster = load_roster(place / "roster.csv")
    for form, folder, number in (
        ("moodle", "Somebody_{}_assignsubmission_file_/submission.zip", lambda row: row["Identifier"].split()[1]),
        ("canvas", "somebody_{}_998_submission.zip", lambda row: row["ID"]),
    ):
        out = tmp_path / f"{form}.csv"
        if form == "moodle":
            export_moodle(COURSE, place / "course", EXERCISE.id, roster, out, Asked())
        else:
            export_canvas(COURSE, place / "course", [EXERCISE.id], roster, out, Asked())
        people = [row for row in read(out) if "Points" not in row.get("Student", "")]
        bulk = tmp_path / f"{form}.zip"
        with zipfile.ZipFile(bulk, "w") as target:
            for row in people:
                target.writestr(folder.format(number(row)), b"zip")
        owners = [found.student for found in scan(bulk, form, EXERCISE, roster)]
        assert owners == ["anna", "ben", "cleo", "dora"]


@pytest.mark.parametrize("quantity", ["passed", "accuracy"])
def test_private_counts_do_not_reach_a_platform_before_the_last_deadline(place, quantity):
    later = replace(EXERCISE, due=datetime(2126, 1, 1, tzinfo=UTC))
    course = replace(COURSE, exercises=(PLAIN, later))
    roster = load_roster(place / "roster.csv")
    with pytest.raises(RecordsError, match="can still be handed in"):
        export_canvas(course, place / "course", [later.id], roster, place / "x.csv", Asked(quantity))
    with pytest.raises(RecordsError, match="has only points|scores no model"):
        export_moodle(course, place / "course", PLAIN.id, roster, place / "x.csv", Asked(quantity))
    assert not (place / "x.csv").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Name,Grade\nx,1\n", "expected a header with Identifier"),
        ("Identifier,Full name,Grade,Last modified (grade)\n", "no rows below the header"),
        ("Identifier,Full name,Grade,Last modified (grade)\nx,y\n", "2 columns, expected 4"),
    ],
)
def test_a_file_that_is_no_worksheet_is_refused(place, content, says):
    sheet = place / "sheet.csv"
    sheet.write_text(content)
    roster = load_roster(place / "roster.csv")
    with pytest.raises(CourseError, match=says):
        export_moodle(COURSE, place / "course", EXERCISE.id, roster, place / "x.csv", Asked(), sheet)
    assert not (place / "x.csv").exists()
