"""Feedback for students: which task failed and why, never a hidden test; and what staff see in nbgrader's own tools."""

import re
import warnings

import html5lib
import pytest

from autograder.errors import CourseError
from autograder.grading.batch import Engine
from autograder.grading.feedback import feedback, without_hidden_tests
from autograder.grading.notebooks import autograde

EXERCISE = "02_main"
WRONG = "def mean(numbers):\n    return 0.0\n"
NAIVE = "def mean(numbers):\n    return sum(numbers) / len(numbers)\n"  # right but for the hidden test
SPY = (  # puts the check's own text, hidden test and all, into outputs, messages and variables
    "def mean(numbers):\n"
    "    import inspect, sys\n"
    "    seen.append(In[-1])\n"
    "    print(In[-1], file=sys.stderr)\n"
    "    raise ValueError(In[-1])\n"
)
SPY_AFTER = "print(seen)\nraise RuntimeError(seen[0])\n"
SCRIPT = "# mine <script>alert('out')</script> <img src=x onerror=alert(1)>"


def hidden_lines(room):
    inside, found = False, []
    for cell in room.solved["cells"]:
        for line in cell["source"].splitlines():
            inside = inside and "END HIDDEN TESTS" not in line
            if inside and len(line.strip()) > 12:
                found.append(line.strip())
            inside = inside or "BEGIN HIDDEN TESTS" in line
    return found


@pytest.fixture(scope="module")
def graded(box, released_classroom, tmp_path_factory):
    room = released_classroom.copy(tmp_path_factory.mktemp("graded") / "class")
    room.hand_in("anna", room.notebook())
    room.hand_in("ben", room.notebook(task_mean=NAIVE))
    room.hand_in("carl", room.notebook("seen = []", task_mean=SPY))
    spy = room.notebook("seen = []", task_mean=SPY)
    spy["cells"].append({**spy["cells"][1], "cell_type": "code", "id": "after", "metadata": {}, "source": SPY_AFTER})
    spy["cells"][-1] |= {"outputs": [], "execution_count": None}
    room.hand_in("dora", spy)
    room.hand_in("emil", b"{")
    script = room.notebook("1 / 0", question_why=SCRIPT)
    room.hand_in("fred", script)
    room.hand_in("gina", room.notebook())
    room.hand_in("gina", room.notebook(task_mean=WRONG))
    autograde(room.course, EXERCISE, room.course_dir, engine=Engine("local", 2), progress=False)
    feedback(room.course, EXERCISE, room.course_dir)
    return room


def page(room, student):
    return (room.course_dir / "feedback" / student / EXERCISE / f"{EXERCISE}.html").read_text(encoding="utf-8")


def summary(room, student):
    return (room.course_dir / "feedback" / student / EXERCISE / "summary.txt").read_text(encoding="utf-8")


def text_of(html):
    """What a browser shows."""
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    for element in [*tree.iter("script"), *tree.iter("style")]:
        element.text = ""
    return " ".join("".join(tree.itertext()).split())


@pytest.mark.slow
def test_the_text_says_for_each_task_the_points_and_why(graded):
    lines = summary(graded, "ben").splitlines()
    assert lines[0] == "02_main: The main thing" and lines[2] == "2 of 5 points"
    assert "tanh  2/2  passed" in lines
    assert "mean  0/3  AssertionError: add exactly, large numbers cancel" in lines
    assert "why   read by a person; see the page" in lines
    assert "notebook_not_json" in summary(graded, "emil") and "0 of 5 points" in summary(graded, "emil")


@pytest.mark.slow
def test_the_page_has_points_the_message_and_the_students_own_text(graded):
    html = page(graded, "ben")
    shown = text_of(html)
    assert "(Score: 2.0 / 6.0)" in shown
    assert "AssertionError: add exactly, large numbers cancel" in shown
    assert "return sum(numbers) / len(numbers)" in shown
    assert "(Score: 5.0 / 6.0)" in text_of(page(graded, "anna"))


@pytest.mark.slow
def test_the_newest_hand_in_is_shown_and_a_better_one_before_is_named(graded):
    assert summary(graded, "gina").splitlines()[2] == "2 of 5 points; an earlier notebook of yours has 5"
    assert "return 0.0" in text_of(page(graded, "gina"))


@pytest.mark.slow
def test_no_hidden_test_is_in_anything_that_students_get_even_when_their_code_looks_for_it(graded):
    hidden = hidden_lines(graded)
    assert len(hidden) >= 3
    graded_notebooks = "".join(path.read_text() for path in graded.course_dir.glob("autograded/*/*/*.ipynb"))
    assert all(re.sub(r"\W", "", line) in re.sub(r"\W|\\n", "", graded_notebooks) for line in hidden), "nothing to hide"
    files = [path for path in (graded.course_dir / "feedback").rglob("*") if path.is_file()]
    assert len(files) == 14
    for path in files:
        content = path.read_text(encoding="utf-8")
        texts = (content, text_of(content)) if path.suffix == ".html" else (content,)
        for line in hidden:
            bare = re.sub(r"\W", "", line)  # tags, quotes and colours between the letters do not hide it
            assert not any(bare in re.sub(r"\W", "", text) for text in texts), (path, line)


@pytest.mark.slow
def test_an_error_of_a_cell_before_the_checks_is_shown_and_a_script_is_not_run(graded):
    html = page(graded, "fred")
    assert "ZeroDivisionError: division by zero" in text_of(html)
    assert "<script>alert('out')" not in html and not re.search(r"<img[^>]*onerror", html)


@pytest.mark.slow
def test_again_changes_no_file(graded):
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in graded.course_dir.glob("feedback/*/*/*")}
    report = feedback(graded.course, EXERCISE, graded.course_dir)
    assert (report.changed, report.without) == (0, ())
    assert report.students == ("anna", "ben", "carl", "dora", "emil", "fred", "gina")
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in graded.course_dir.glob("feedback/*/*/*")}
    assert after == files


@pytest.mark.slow
def test_formgrader_and_nbgraders_own_feedback_work_on_the_graded_class(graded):
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = CourseDirectory(root=str(graded.course_dir), db_url=f"sqlite:///{graded.course_dir / 'gradebook.db'}")
        api = NbGraderAPI(folder)
        rows = {row["student"]: row for row in api.get_notebook_submissions(EXERCISE, EXERCISE)}
        listed = {row["id"]: row for row in api.get_students()}
        (assignment,) = [row for row in api.get_assignments() if row["name"] == EXERCISE]
    assert {student: row["code_score"] for student, row in rows.items()} == {
        "anna": 5.0, "ben": 2.0, "carl": 2.0, "dora": 2.0, "emil": 0.0, "fred": 5.0, "gina": 2.0,
    }  # fmt: skip
    assert set(listed) >= set(rows) and assignment["num_submissions"] == 7
    assert rows["fred"]["needs_manual_grade"] and not rows["anna"]["needs_manual_grade"]


def test_a_check_cell_shows_the_released_text_and_the_record_s_message_only():
    def cell(name, source, outputs, kind="code"):
        made = {"cell_type": kind, "id": name, "metadata": {"nbgrader": {"grade_id": name}}, "source": source}
        return made | ({"outputs": outputs, "execution_count": 1} if kind == "code" else {})

    noise = [{"output_type": "stream", "name": "stdout", "text": "secret"}]
    error = [{"output_type": "error", "ename": "E", "evalue": "own\nfault", "traceback": ["secret"]}]
    notebook = {
        "cells": [
            cell("task_a", "answer", noise + error),
            cell("check_a", "check()\nsecret", noise),
            cell("task_b", "later", error),
        ]
    }
    released = {"cells": [cell("check_a", "check()", [])]}
    shown = without_hidden_tests(notebook, released, {"check_a": (False, "KeyError: 'x'")})
    assert "secret" not in str(shown)
    assert [one["source"] for one in shown["cells"]] == ["answer", "check()", "later"]
    assert shown["cells"][0]["outputs"][0]["traceback"] == ["E: own fault"]
    assert shown["cells"][1]["outputs"][0]["evalue"] == "KeyError: 'x'"
    assert shown["cells"][2]["outputs"] == []


@pytest.mark.slow
def test_a_graded_notebook_that_is_gone_is_named(graded, tmp_path):
    room = graded.copy(tmp_path / "gone")
    (room.course_dir / "autograded" / "ben" / EXERCISE / f"{EXERCISE}.ipynb").unlink()
    with pytest.raises(CourseError, match="ben: the graded notebook of submission 2 is gone"):
        feedback(room.course, EXERCISE, room.course_dir)
