"""What leaves the record: scores under pseudonyms, grades with names, the page."""

import csv
import io
import json
import re
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from autograder.course.manifest import Course, Exercise, HiddenSetSpec, ModelContract, Task
from autograder.errors import CourseError, RecordsError
from autograder.intake.roster import Student
from autograder.records import publish as publish_module
from autograder.records.export import export_grades, safe_cell, scores_bytes
from autograder.records.gradebook import Gradebook
from autograder.records.pseudonyms import pseudonyms
from autograder.records.publish import publish, refuse_names
from autograder.records.rows import Notebook, Prediction, Result
from autograder.records.status import status
from leaderboard.reading import parse

TIME = datetime(2026, 12, 1, 10, tzinfo=UTC)
EXERCISE = Exercise(
    id="04_grid_search",
    title="Deep search",
    due=datetime(2026, 12, 16, 15, tzinfo=UTC),
    cell_timeout_s=10,
    notebook_timeout_s=20,
    data=("cifar10",),
    tasks=(Task("tanh", 2), Task("grid", 3)),
    models=(ModelContract("model.onnx", (3, 32, 32), 10, 1_000_000, 3_000_000),),
    hidden_set=HiddenSetSpec("cifar10", 48),
)
PLAIN = replace(EXERCISE, id="01_sigmoid", title="Sigmoid", hidden_set=None, models=())
COURSE = Course("Introduction to Deep Learning", "2026w", (PLAIN, EXERCISE), Path("solutions/course.toml"))
ROSTER = {
    name: Student(name, full)
    for name, full in {
        "anna": "Anna Bauer",
        "ben": "=HYPERLINK(0)",
        "cleo": "Cleo",
        "dora": "Dora Duval",
        "deep": "Deep",
    }.items()
}


@pytest.fixture
def course_dir(tmp_path):
    """anna 47 then 48 of 100; ben 47, late then; cleo a failed model; dora only rejected; deep nothing."""
    folder = tmp_path / "course"
    hidden = folder / "hidden" / EXERCISE.id
    hidden.mkdir(parents=True)
    meta = {"schema": 1, "exercise": EXERCISE.id, "version": "v1", "size": 100, "num_classes": 10}
    meta |= {"shape": [3, 32, 32], "source": "cifar10", "standin": True}
    (hidden / "meta.json").write_text(json.dumps(meta))
    with Gradebook(folder, create=True) as book:
        for letter, student, minutes, correct in (
            ("a", "anna", 0, 47),
            ("b", "ben", 1, 47),
            ("c", "anna", 2, 48),
        ):
            number = add(book, letter, student, minutes)
            score(book, number, correct)
            points = Notebook(number, "s", 6 - minutes, 5.0, {}, "graded", "", "", True)
            book.add_notebook_result(points)
        failed = add(book, "d", "cleo", 3)
        book.set_state(failed, "running")
        book.set_state(failed, "FAILED", "timeout", "@SUM(1)", judged_with="v1/1")
        book.add_notebook_result(Notebook(failed, "s", 0.0, 5.0, {}, "FAILED", "memory", "-1+1", True))
        book.add_submission(EXERCISE.id, "dora", "e" * 64, TIME, late=True, rejected=("late", "by a day"))
        book.add_submission(EXERCISE.id, "ben", "f" * 64, TIME + timedelta(days=30), late=True, rejected=("late", ""))
    return folder


@pytest.fixture
def roster(tmp_path):
    path = tmp_path / "roster.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("student_id", "name"), *((row.id, row.name) for row in ROSTER.values())])
    return path


def add(book, letter, student, minutes, **options):
    received = TIME + timedelta(minutes=minutes)
    return book.add_submission(EXERCISE.id, student, letter * 64, received, **options).submission_id


def score(book, number, correct, version="v1", sandboxed=True):
    book.set_state(number, "running")
    book.set_predicted([Prediction(number, "model.onnx", f"{version}/1", "0" * 64, 1, sandboxed)])
    book.set_scored([Result(number, "model.onnx", version, "1", correct, 100, 0, 1234, 5678, sandboxed)])


def exported(course_dir):
    with Gradebook(course_dir) as book:
        return scores_bytes(COURSE, course_dir, book)


def board(course_dir):
    data = json.loads(exported(course_dir))
    assert [item["id"] for item in data["exercises"]] == [EXERCISE.id]
    return data["exercises"][0]


def grades(course_dir, tmp_path):
    out = tmp_path / "grades.csv"
    export_grades(COURSE, course_dir, ROSTER, out)
    with out.open(newline="") as file:
        return {row["student_id"]: row for row in csv.DictReader(file) if row["exercise"] == EXERCISE.id}


def test_scores_hold_the_best_of_each_student_in_rank_order(course_dir):
    users = pseudonyms(course_dir, "2026w", ["anna", "ben"])
    found = board(course_dir)
    assert [(row["user"], row["correct"], row["total"]) for row in found["entries"]] == [
        (users["anna"], 48, 100),
        (users["ben"], 47, 100),
    ]
    first = found["entries"][0]
    assert (first["submissions"], first["received_day"], first["received_order"]) == (2, "2026-12-01", 2)
    assert (first["parameters"], first["model_bytes"], first["sandboxed"]) == (1234, 5678, True)
    assert found["entries"][1]["submissions"] == 1  # the rejected one is no try
    hidden = {"version": "v1", "size": 100, "source": "cifar10", "standin": True, "classes": 10, "split": False}
    assert found["hidden_set"] == hidden
    assert (found["pass_percent"], found["due"]) == (48, "2026-12-16T15:00:00+00:00")


def test_scores_are_accepted_by_their_only_reader(course_dir):
    assert parse(exported(course_dir)).exercises[0].entries[0].correct == 48


def test_scores_of_an_empty_record_are_accepted_too(tmp_path):
    with Gradebook(tmp_path, create=True) as book:
        data = scores_bytes(COURSE, tmp_path, book)
    assert json.loads(data)["generated_at"] is None and parse(data).exercises[0].hidden_set is None


def test_exporting_twice_gives_the_same_bytes(course_dir, tmp_path):
    assert exported(course_dir) == exported(course_dir)
    first = grades(course_dir, tmp_path), (tmp_path / "grades.csv").read_bytes()
    assert (grades(course_dir, tmp_path), (tmp_path / "grades.csv").read_bytes()) == first


def test_the_time_of_the_scores_is_that_of_the_newest_row_and_not_of_publishing(course_dir):
    before = exported(course_dir)
    with Gradebook(course_dir) as book:
        newest = max(book.submissions(), key=lambda row: row.created_at).created_at
        book.publish(row.id for row in book.submissions())
    assert exported(course_dir) == before
    generated = json.loads(before)["generated_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", generated) and generated[:19] >= newest[:19]


def test_only_results_on_the_current_hidden_set_are_shown(course_dir):
    path = course_dir / "hidden" / EXERCISE.id / "meta.json"
    path.write_text(path.read_text().replace('"v1"', '"v2"'))
    assert board(course_dir)["entries"] == []


def test_scores_made_without_isolation_say_so(course_dir):
    with Gradebook(course_dir) as book:
        score(book, add(book, "9", "dora", 5), 99, sandboxed=False)
    assert board(course_dir)["entries"][0]["sandboxed"] is False


def test_no_id_name_or_time_of_day_is_in_the_scores(course_dir):
    text = exported(course_dir).decode()
    entries = json.dumps(json.loads(text)["exercises"][0]["entries"])
    for student in ROSTER.values():
        assert not re.search(rf"\b{re.escape(student.id)}\b", entries) and student.name not in entries
    assert not re.search(r"\d\d:\d\d", entries)


def test_grades_show_the_submission_that_counts_and_the_reasons(course_dir, tmp_path):
    found = grades(course_dir, tmp_path)
    assert list(found) == list(ROSTER)
    anna, ben, cleo, dora, deep = found.values()
    assert (anna["correct"], anna["total"], anna["passed"], anna["state"]) == ("48", "100", "yes", "scored")
    assert (anna["submissions"], anna["notebook_points"], anna["notebook_max"]) == ("2", "6", "5")
    assert (ben["correct"], ben["passed"], ben["state"], ben["code"]) == ("47", "no", "scored", "")
    assert (cleo["correct"], cleo["passed"], cleo["state"], cleo["code"]) == ("", "", "FAILED", "timeout")
    assert (cleo["notebook_points"], cleo["notebook_code"]) == ("0", "memory")
    assert (dora["state"], dora["code"], dora["submissions"]) == ("REJECTED", "late", "1")
    assert (deep["state"], deep["submissions"], deep["correct"]) == ("none", "0", "")


def test_a_student_who_left_the_roster_keeps_a_row_without_a_name(course_dir, tmp_path):
    out = tmp_path / "grades.csv"
    export_grades(COURSE, course_dir, {"anna": ROSTER["anna"]}, out)
    rows = [row for row in csv.DictReader(io.StringIO(out.read_text())) if row["exercise"] == EXERCISE.id]
    assert [(row["student_id"], row["name"]) for row in rows] == [
        ("anna", "Anna Bauer"),
        ("ben", ""),
        ("cleo", ""),
        ("dora", ""),
    ]


def test_no_cell_of_the_grades_starts_a_formula_and_the_file_is_for_its_owner(course_dir, tmp_path):
    found = grades(course_dir, tmp_path)
    assert found["ben"]["name"] == "'=HYPERLINK(0)"
    assert (found["cleo"]["detail"], found["cleo"]["notebook_detail"]) == ("'@SUM(1)", "'-1+1")
    for row in found.values():
        assert all(cell[:1] not in tuple("=+-@\t\r\n") or not cell for cell in row.values())
    assert stat.S_IMODE((tmp_path / "grades.csv").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "\uff0b1", "\u3000=1", "=", "-"],
)
def test_text_that_could_start_a_formula_gets_an_apostrophe(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Anna", "48", "u1234", "a=b", "Jean-Luc", "'", "\u00c9ric", None, 0, 12])
def test_other_text_stays_as_it_is(text):
    assert safe_cell(text) == ("" if text is None else str(text))


def test_pseudonyms_are_stable_distinct_private_and_new_each_term(tmp_path):
    students = [f"s{number}" for number in range(300)]
    first = pseudonyms(tmp_path, "2026w", students[:200])
    assert all(re.fullmatch(r"u\d{4}", user) for user in first.values()) and len(set(first.values())) == 200
    more = pseudonyms(tmp_path, "2026w", students)
    assert {name: more[name] for name in first} == first and len(set(more.values())) == 300
    assert pseudonyms(tmp_path, "2027s", students) != more
    assert pseudonyms(tmp_path, "2026w", students) == more
    assert stat.S_IMODE((tmp_path / "pseudonyms.json").stat().st_mode) == 0o600


def test_pseudonyms_do_not_follow_the_order_of_the_students(tmp_path):
    students = [f"s{number:03}" for number in range(100)]
    users = list(pseudonyms(tmp_path, "2026w", students).values())
    assert users != sorted(users) and users != sorted(users, reverse=True)


def test_a_pseudonym_is_never_a_student_id(tmp_path):
    ids = [f"u{number:04}" for number in range(5000)]
    assert not set(pseudonyms(tmp_path, "2026w", ids).values()) & set(ids)


def test_pseudonyms_that_run_out_or_are_damaged_are_an_error_and_not_overwritten(tmp_path):
    with pytest.raises(RecordsError, match="new term"):
        pseudonyms(tmp_path, "2026w", [f"s{number}" for number in range(10_001)])
    assert not (tmp_path / "pseudonyms.json").exists()
    for text in (
        "",
        "[]",
        '{"terms": {"2026w": {"anna": "Anna"}}}',
        '{"terms": {"t": {"a": "u0001", "b": "u0001"}}}',
    ):
        (tmp_path / "pseudonyms.json").write_text(text)
        with pytest.raises(RecordsError, match="backup"):
            pseudonyms(tmp_path, "2026w", ["anna"])
        assert (tmp_path / "pseudonyms.json").read_text() == text


def test_publishing_builds_the_page_and_marks_what_is_on_it(course_dir, roster, tmp_path):
    done = publish(COURSE, course_dir, roster, tmp_path / "site")
    assert (done.entries, done.newly_published) == (2, 3)
    page = (tmp_path / "site" / "04_grid_search.html").read_text()
    assert all(user in page for user in pseudonyms(course_dir, "2026w", ["anna", "ben"]).values())
    for path in (tmp_path / "site").rglob("*"):
        text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
        assert "Anna Bauer" not in text and "duplicate" not in text and not re.search(r"\banna\b", text)
    with Gradebook(course_dir) as book:
        assert [row.state for row in book.submissions()].count("published") == 3


def test_publishing_twice_gives_the_same_site(course_dir, roster, tmp_path):
    def site():
        return {
            path.relative_to(tmp_path): path.read_bytes()
            for path in sorted((tmp_path / "site").rglob("*"))
            if path.is_file()
        }

    publish(COURSE, course_dir, roster, tmp_path / "site")
    first = site()
    assert publish(COURSE, course_dir, roster, tmp_path / "site").newly_published == 0
    assert site() == first and len(first) > 2


@pytest.mark.parametrize("leak", ["anna", "Anna Bauer", "anna  BAUER", "Cleo", "deep", "dora"])
def test_a_real_id_or_name_in_the_scores_is_refused_and_nothing_is_published(
    course_dir, roster, tmp_path, leak, monkeypatch
):
    real = publish_module.scores_bytes

    def leaking(*args):
        data = json.loads(real(*args))
        data["exercises"][0]["entries"][0]["user"] = leak
        return json.dumps(data).encode()

    monkeypatch.setattr(publish_module, "scores_bytes", leaking)
    with pytest.raises(RecordsError, match="nothing was published"):
        publish(COURSE, course_dir, roster, tmp_path / "site")
    assert not (tmp_path / "site").exists() and not (course_dir / "scores.json").exists()
    with Gradebook(course_dir) as book:
        assert "published" not in {row.state for row in book.submissions()}


def test_names_are_found_however_json_writes_them_and_words_of_the_manifest_are_no_leak(course_dir):
    scores = json.loads(exported(course_dir))
    refuse_names(json.dumps(scores).encode(), [Student("search", "Deep"), Student("learning", "Introduction")])
    scores["course"]["name"] = "Prize of J\u00fcrgen M\u00fcller"
    for ascii_only in (True, False):
        data = json.dumps(scores, ensure_ascii=ascii_only).encode()
        with pytest.raises(RecordsError):
            refuse_names(data, [Student("zz", "J\u00fcrgen M\u00fcller")])
        refuse_names(data, [Student("zz", "J\u00fcrgen Other")])


def test_a_student_who_is_no_longer_in_the_roster_does_not_leak_either(course_dir, roster, tmp_path, monkeypatch):
    roster.write_text("student_id,name\nzoe,Zoe Zander\n")
    real = publish_module.scores_bytes
    monkeypatch.setattr(publish_module, "scores_bytes", lambda *args: real(*args).replace(b"cifar10", b"ben"))
    with pytest.raises(RecordsError, match="'ben'"):
        publish(COURSE, course_dir, roster, tmp_path / "site")


def test_a_page_that_cannot_be_built_is_a_course_error_and_marks_nothing(course_dir, roster, tmp_path):
    (tmp_path / "site").write_text("a file in the way")
    with pytest.raises(CourseError):
        publish(COURSE, course_dir, roster, tmp_path / "site")
    with Gradebook(course_dir) as book:
        assert "published" not in {row.state for row in book.submissions()}


def shown(course_dir, **options):
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    status(COURSE, course_dir, console=console, **options)
    return console.file.getvalue()


def test_status_shows_where_everything_is_and_why_with_totals(course_dir):
    text = shown(course_dir)
    assert "anna" in text and "48.00 %" in text and "6/5" in text
    assert "timeout @SUM(1); notebook: memory -1+1" in text and "late by a day" in text
    assert "6 submissions: 1 FAILED, 2 REJECTED, 3 scored; 4 notebooks graded" in text
    assert "01_sigmoid" not in text and "0 submissions: none" in shown(course_dir, exercise_id="01_sigmoid")


def test_status_of_one_student_has_the_whole_history_and_prints_markup_as_text(course_dir):
    with Gradebook(course_dir) as book:
        book.set_state(add(book, "8", "cleo", 9), "running")
        book.set_state(7, "ERROR", "ours", "[red]not red[/red] [link=x]")
    text = shown(course_dir, student="cleo")
    assert "[red]not red[/red] [link=x]" in text and "validated" in text and "anna" not in text
    with pytest.raises(RecordsError, match="nobody"):
        shown(course_dir, student="nobody")
