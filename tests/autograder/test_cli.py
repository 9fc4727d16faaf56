"""The command line as staff meet it: help everywhere, one line per mistake, nothing half-written."""

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import typer

from autograder import __main__ as cli
from autograder.course.manifest import load
from autograder.errors import CourseError, SandboxError
from autograder.grading.autograde import NotebookResult, TaskResult
from autograder.grading.notebooks import autograde
from autograder.intake.collect import collect
from autograder.records.gradebook import Gradebook

ROOT = Path(__file__).resolve().parents[2]
EXERCISE = "04_grid_search"
MANIFEST = f"""
[course]
name = "Course"
term = "2026w"
[[exercise]]
id = "{EXERCISE}"
title = "Hyper-parameter search"
due = "2999-12-16T15:59:59+01:00"
cell_timeout_s = 10
notebook_timeout_s = 20
[[exercise.task]]
id = "tanh"
points = 2
[[exercise.model]]
file = "model.onnx"
input = [3, 32, 32]
classes = 10
max_parameters = 1000
max_bytes = 100000
[exercise.hidden_set]
dataset = "cifar10"
pass_percent = 48
"""
VERBS = [
    "doctor",
    "release",
    "check",
    "new",
    "collect",
    "hidden-set build",
    "autograde",
    "feedback",
    "score",
    "publish",
    "export",
    "status",
    "integrity",
    "withdraw",
    "regrade",
    "explain",
    "demo",
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a manifest, a roster and a drop: one good, one broken and one unknown hand-in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_DIR", raising=False)
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "course.toml").write_text(MANIFEST)
    (tmp_path / "roster.csv").write_text("student_id,name\nanna,Anna Bauer\nben,Ben Costa\n")
    (tmp_path / "bad_roster.csv").write_text("student_id,name\nanna,Anna Bauer\nBEN,Ben Costa\n")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 broken")
    drop = tmp_path / "drop"
    drop.mkdir()
    hand_in(drop / "anna.zip")
    hand_in(drop / "mallory.zip")
    (drop / "ben.zip").write_bytes(b"PK\x03\x04 broken")
    return tmp_path


def hand_in(path):
    with zipfile.ZipFile(path, "w") as target:
        for name, data in {
            f"{EXERCISE}.ipynb": path.name,
            "model.onnx": path.name,
            "submission.json": json.dumps({"schema": 1, "exercise": EXERCISE, "claimed": {"model.onnx": 0.5}}),
        }.items():
            target.writestr(zipfile.ZipInfo(name), data)


def tree(folder):
    """Every path below a folder with its bytes."""
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(capsys, argv):
    """Run a verb that must be refused; its one line."""
    code = cli.main(argv)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), (argv, out, err)
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n") and "Traceback" not in err
    return err


COLLECT = ["collect", EXERCISE, "--drop", "drop", "--roster", "roster.csv", "--quiet"]
BAD = [
    ([], "Missing command"),
    (["grade"], "No such command"),
    (["--verbose"], "No such option"),
    (["hidden-set"], "Missing command"),
    (["hidden-set", "build"], "Missing argument"),
    (["release"], "Missing argument"),
    (["release", "04_grid_search", "--all"], "--all alone"),
    (["check", "4"], "no exercise '4'"),
    (["check", "--jobs", "0"], "jobs"),
    (["new", "04_other", "Other"], "number 04 is taken by 04_grid_search"),
    (["new", "4_other", "Other"], "expected two digits and a name"),
    (["new", "../05_other", "Other"], "expected two digits and a name"),
    (["new", "05_other", ""], "expected one line of text"),
    (["new", "05_other", "two\nlines"], "expected one line of text"),
    (["release", "04_grid_serach"], "did you mean '04_grid_search'"),
    (["release", EXERCISE, "--course", "nowhere.toml"], "nowhere.toml"),
    (["release", EXERCISE, "--course", "roster.csv"], "not TOML"),
    (["collect"], "Missing"),
    (["collect", EXERCISE], "Missing option"),
    (["collect", EXERCISE, "--drop", "drop"], "--roster"),
    (["collect", EXERCISE, "--roster", "roster.csv"], "--drop"),
    ([*COLLECT, "extra"], "unexpected extra argument"),
    ([*COLLECT, "--drop", "nowhere"], "expected a folder"),
    ([*COLLECT, "--drop", "broken.zip"], "expected a folder"),
    ([*COLLECT, "--roster", "nowhere.csv"], "nowhere.csv"),
    ([*COLLECT, "--roster", "drop"], "drop"),
    ([*COLLECT, "--roster", "bad_roster.csv"], "bad_roster.csv, line 3"),
    ([*COLLECT, "--roster", "broken.zip"], "broken.zip"),
    (["collect", "99_nothing", "--drop", "drop", "--roster", "roster.csv"], "99_nothing"),
    (["collect", "../../etc", "--drop", "drop", "--roster", "roster.csv"], "etc"),
    (["hidden-set", "build", EXERCISE, "--size", "many"], "--size"),
    (["hidden-set", "build", EXERCISE, "--size", "0"], "at least 1"),
    (["hidden-set", "build", EXERCISE, "--dataset", "a", "--folder", "b"], "exactly one"),
    (["hidden-set", "build", "99_nothing"], "99_nothing"),
    (["autograde"], "Missing argument"),
    (["autograde", EXERCISE], "run collect first"),
    (["autograde", "99_nothing"], "99_nothing"),
    (["score", EXERCISE], "run collect first"),
    (["score", "99_nothing"], "99_nothing"),
    (["publish"], "--roster"),
    (["publish", "--roster", "roster.csv"], "run collect first"),
    (["publish", "--roster", "bad_roster.csv"], "line 3"),
    (["export"], "--roster"),
    (["export", "--roster", "roster.csv"], "run collect first"),
    (["export", "--roster", "nowhere.csv"], "nowhere.csv"),
    (["status"], "run collect first"),
    (["status", "99_nothing"], "99_nothing"),
    (["demo", "--data", "imagenet"], "imagenet"),
]


@pytest.mark.parametrize(("argv", "says"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input_is_one_line_with_exit_code_2_and_leaves_no_trace(place, capsys, argv, says):
    before = tree(place)
    assert says in refused(capsys, argv)
    assert tree(place) == before


def test_bad_input_after_collecting_leaves_the_record_as_it_was(place, capsys):
    assert cli.main(COLLECT) == 0
    capsys.readouterr()
    with Gradebook(place / ".course") as book:
        before = book.submissions(), book.audit("anna")
    assert "hidden-set build" in refused(capsys, ["score", EXERCISE])
    assert "run release" in refused(capsys, ["autograde", EXERCISE])
    assert "zoe" in refused(capsys, ["status", "--student", "zoe"])
    assert "line 3" in refused(capsys, [*COLLECT, "--roster", "bad_roster.csv"])
    (place / "a_file").write_text("")
    assert "a_file" in refused(capsys, ["export", "--roster", "roster.csv", "--out", "a_file/grades.csv"])
    with Gradebook(place / ".course") as book:
        assert (book.submissions(), book.audit("anna")) == before


def test_a_record_that_is_no_database_is_one_line(place, capsys):
    (place / ".course").mkdir()
    (place / ".course" / "records.db").write_bytes(b"garbage" * 200)
    for argv in (COLLECT, ["score", EXERCISE], ["status"], ["export", "--roster", "roster.csv"]):
        assert "records.db" in refused(capsys, argv)


def test_a_broken_zip_in_the_drop_is_a_students_fault_recorded_with_a_code_and_the_batch_goes_on(place, capsys):
    assert cli.main(COLLECT) == 0
    out = capsys.readouterr().out
    assert "1 REJECTED, 1 queued, 1 unknown" in out and "archive" in out
    with Gradebook(place / ".course") as book:
        assert {row.student: (row.state, row.code) for row in book.submissions()} == {
            "anna": ("queued", ""),
            "ben": ("REJECTED", "archive"),
        }


def test_status_and_export_show_what_was_collected(place, capsys):
    cli.main(COLLECT)
    capsys.readouterr()
    assert cli.main(["status"]) == 0
    assert "2 submissions: 1 REJECTED, 1 queued" in capsys.readouterr().out
    assert cli.main(["status", EXERCISE, "--student", "ben"]) == 0
    assert "archive" in capsys.readouterr().out
    assert cli.main(["export", "--roster", "roster.csv"]) == 0
    with (place / "grades.csv").open(newline="") as file:
        assert [(row["student_id"], row["state"]) for row in csv.DictReader(file)] == [
            ("anna", "queued"),
            ("ben", "REJECTED"),
        ]


def test_publishing_before_anything_is_scored_gives_an_empty_page(place, capsys):
    cli.main(COLLECT)
    assert cli.main(["publish", "--roster", "roster.csv", "--out", "site"]) == 0
    assert (place / "site" / f"{EXERCISE}.html").is_file()


def test_the_course_folder_may_come_from_the_environment(place, capsys, monkeypatch):
    monkeypatch.setenv("COURSE_DIR", str(place / "elsewhere"))
    assert cli.main(COLLECT) == 0
    assert (place / "elsewhere" / "records.db").exists() and not (place / ".course").exists()


def test_an_unexpected_error_keeps_its_traceback(place, monkeypatch):
    monkeypatch.setattr("autograder.records.status.status", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["status"])


def test_interrupting_is_one_line(place, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("autograder.records.status.status", interrupt)
    assert cli.main(["status"]) == 130
    assert capsys.readouterr().err.startswith("error: interrupted")


def test_the_program_itself_exits_with_2_and_one_line(place):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "autograder", *COLLECT, "--roster", "bad_roster.csv"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: bad_roster.csv, line 3: student_id 'BEN'") and done.stderr.count("\n") == 1


def commands():
    """(name, command) of every verb, below groups too."""

    def below(command, name):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        for word, one in (inner or {}).items():
            yield from below(one, f"{name} {word}".strip())

    return dict(below(typer.main.get_command(cli.app), ""))


def test_these_are_the_verbs():
    assert sorted(commands()) == sorted(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_option_and_argument_has_help(verb, capsys):
    command = commands()[verb]
    assert command.help and len(command.help) > 20
    assert cli.main([*verb.split(), "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for parameter in command.params:
        help_text = getattr(parameter, "help", None)
        assert help_text, f"{verb}: {parameter.name} has no help"
        assert " ".join(help_text.split())[:30] in text


def test_the_overview_names_every_verb(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(verb.split()[0] in out for verb in VERBS)


def graded(points):
    task = TaskResult(points, 2, "ok\n\x1b[2J")
    return NotebookResult(points, 2, {"tanh": task}, "graded", None, "", "0" * 64)


@pytest.fixture
def two_students(place, monkeypatch):
    """anna and ben are collected and the exercise is released; returns (course, course folder)."""
    hand_in(place / "drop" / "ben.zip")
    monkeypatch.setattr("autograder.grading.notebooks.overloaded", lambda: False)
    course, course_dir = load(place / "solutions" / "course.toml"), place / ".course"
    collect(course, EXERCISE, place / "drop", place / "roster.csv", course_dir, progress=False)
    (course_dir / "source" / EXERCISE).mkdir(parents=True)
    (course_dir / "source" / EXERCISE / f"{EXERCISE}.ipynb").write_text("{}")
    (course_dir / "snapshot" / EXERCISE).mkdir(parents=True)
    return course, course_dir


@pytest.mark.parametrize("busy", [True, False])
def test_a_notebook_that_runs_out_of_time_on_an_overloaded_machine_gets_a_second_run_after_the_others(
    two_students, monkeypatch, busy
):
    monkeypatch.setattr("autograder.grading.notebooks.overloaded", lambda: busy)
    seen = []

    def grade(student, notebook):
        seen.append(student)
        if student == "anna" and (seen.count("anna") == 1 or not busy):
            return NotebookResult(0, 2, {}, "FAILED", "kernel_unresponsive", "no answer", "0" * 64)
        late = TaskResult(0.0, 2, "the check took longer than 30 s (an endless loop?)")
        return NotebookResult(0.0, 2, {"tanh": late}, "graded", None, "", "0" * 64) if student == "ben" else graded(2.0)

    report = grade_with(two_students, grade)

    assert seen == (["anna", "ben", "anna", "ben"] if busy else ["anna", "ben"]), "the second time it counts"
    assert [row[0] for row in report.graded] == (["anna", "ben"] if busy else ["ben"])
    assert [row[:2] for row in report.failed] == ([] if busy else [("anna", "kernel_unresponsive")])


def grade_with(two_students, grade, sandboxed=True):
    course, course_dir = two_students
    return autograde(course, EXERCISE, course_dir, progress=False, grader=lambda: (grade, sandboxed))


def notebooks(two_students):
    with Gradebook(two_students[1]) as book:
        owners = {row.id: row.student for row in book.submissions()}
        return {owners[number]: row for number, row in book.notebooks(EXERCISE).items()}


def test_autograde_grades_each_notebook_once_and_what_a_student_did_wrong_is_recorded(two_students):
    seen = []

    def grade(student, notebook):
        seen.append((student, notebook))
        if student == "anna":
            return NotebookResult(0, 2, {}, "FAILED", "timeout", "an endless\nloop", "0" * 64)
        return graded(2.0)

    report = grade_with(two_students, grade)
    assert seen == [("anna", b"anna.zip"), ("ben", b"ben.zip")]
    assert report.failed == [("anna", "timeout", "an endless loop")] and report.graded == [("ben", 2.0, 2.0)]
    found = notebooks(two_students)
    assert (found["anna"].state, found["anna"].code) == ("FAILED", "timeout")
    assert found["ben"].points == 2.0 and found["ben"].tasks["tanh"][2].isprintable()
    assert grade_with(two_students, grade).kept == 2 and len(seen) == 2


def test_autograde_grades_again_when_the_release_changed(two_students):
    grade_with(two_students, lambda student, notebook: graded(1.0))
    (two_students[1] / "source" / EXERCISE / f"{EXERCISE}.ipynb").write_text('{"a": 1}')
    grade_with(two_students, lambda student, notebook: graded(2.0))
    assert {row.points for row in notebooks(two_students).values()} == {2.0}
    grade_with(two_students, lambda student, notebook: pytest.fail("nothing is missing"))


@pytest.mark.parametrize("fault", [SandboxError("no kernel"), OSError(28, "No space left"), ZeroDivisionError("a bug")])
def test_an_error_of_ours_with_one_notebook_marks_nobody_and_the_others_go_on(two_students, fault):
    def grade(student, notebook):
        if student == "anna":
            raise fault
        return graded(2.0)

    expected = ZeroDivisionError if isinstance(fault, ZeroDivisionError) else CourseError
    with pytest.raises(expected):
        grade_with(two_students, grade)
    assert set(notebooks(two_students)) == {"ben"}
    grade_with(two_students, lambda student, notebook: graded(1.0))
    assert set(notebooks(two_students)) == {"anna", "ben"}


def test_autograde_without_isolation_is_stamped(two_students):
    grade_with(two_students, lambda student, notebook: graded(1.0), sandboxed=False)
    assert {row.sandboxed for row in notebooks(two_students).values()} == {False}
