"""Grading notebooks of honest, careless and hostile students with a real kernel in a real sandbox."""

import copy
import hashlib
import json
import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from nbformat import NotebookNode

from autograder.course import manifest
from autograder.course.build import read_notebook
from autograder.course.release import release
from autograder.errors import CourseError, SandboxError, SubmissionError
from autograder.grading.autograde import autograde_one
from autograder.grading.sandbox import Sandbox
from autograder.grading.sanitise import Refused, prepare
from autograder.grading.verdicts import Stop, align_with_nbgrader, judge, rebuilt_outputs

TOY = Path(__file__).parent / "toy_course"
ALL = {"tanh": 2.0, "mean": 3.0}  # the question `why` is graded by hand
SOLVED_MEAN = "def mean(numbers):\n    return math.fsum(numbers) / len(numbers)\n"


class Term:
    """A released toy course whose students hand in notebooks."""

    def __init__(self, root, sandbox):
        self.root, self.sandbox = root, sandbox
        self.course = manifest.load(root / "solutions" / "course.toml")
        self.course_dir = root / ".course"
        for exercise_id in self.course.ids:
            release(self.course, exercise_id, self.course_dir, root / "exercises")
        self.exercise = self.course.exercise("02_main")
        self.solved = read_notebook((self.course_dir / "source/02_main/02_main.ipynb").read_bytes())
        self.unsolved = read_notebook((root / "exercises/02_main/02_main.ipynb").read_bytes())

    def student(self, **answers):
        """The released notebook with these cells' texts replaced; the others are solved."""
        notebook = copy.deepcopy(self.unsolved)
        for cell in notebook["cells"]:
            if cell["id"].startswith("task_"):
                cell["source"] = next(c["source"] for c in self.solved["cells"] if c["id"] == cell["id"])
            cell["source"] = answers.get(cell["id"], cell["source"])
        return notebook

    def grade(self, student, notebook, **changes):
        content = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
        exercise = replace(self.exercise, **changes)
        return autograde_one(self.course, exercise, self.course_dir, student, content, self.sandbox)

    def recorded(self, student):
        """grade id -> points in nbgrader's own gradebook."""
        from nbgrader.api import Gradebook

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Gradebook(f"sqlite:///{self.course_dir / 'gradebook.db'}") as book:
                notebook = book.find_submission_notebook("02_main", "02_main", student)
                return {grade.name: grade.auto_score for grade in notebook.grades if grade.name != "question_why"}

    def by_hand(self, student):
        """(waits for a person, automatic points, most points) of the question in nbgrader's own gradebook."""
        from nbgrader.api import Gradebook

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Gradebook(f"sqlite:///{self.course_dir / 'gradebook.db'}") as book:
                grade = book.find_grade("question_why", "02_main", "02_main", student)
                return grade.needs_manual_grade, grade.auto_score, grade.max_score

    def printed(self, student):
        """All that the student's cells printed or raised while being graded."""
        path = self.course_dir / "autograded" / student / "02_main" / "02_main.ipynb"
        outputs = [o for cell in json.loads(path.read_text())["cells"] for o in cell.get("outputs", [])]
        return "\n".join("".join(o.get("text", "")) + str(o.get("evalue", "")) for o in outputs)


@pytest.fixture(scope="module")
def term(tmp_path_factory, box):
    course = tmp_path_factory.mktemp("toy_term") / "course"
    shutil.copytree(TOY, course)
    return Term(course, box)


def points(result):
    return {name: task.points for name, task in result.per_task.items()}


def cell(notebook, name):
    return next(cell for cell in notebook["cells"] if cell["id"] == name)


def insert_after(notebook, name, code):
    position = [cell["id"] for cell in notebook["cells"]].index(name)
    extra = {
        "cell_type": "code",
        "execution_count": None,
        "id": "extra",
        "metadata": {},
        "outputs": [],
        "source": code,
    }
    notebook["cells"].insert(position + 1, extra)
    return notebook


def test_the_solved_notebook_earns_every_automatic_point(term):
    result = term.grade("solver", term.solved)

    assert points(result) == ALL
    assert (result.points, result.max_points, result.state, result.code) == (5.0, 5, "graded", None)
    assert result.detail == ""
    assert term.recorded("solver") == {"check_tanh": 2.0, "check_mean": 3.0}


def test_the_released_notebook_earns_nothing_and_the_message_names_the_task(term):
    result = term.grade("unsolved", term.unsolved)

    assert result.points == 0.0
    assert result.state == "graded"
    assert result.per_task["tanh"].message == (
        "NotImplementedError: 02_main, task tanh: write the body of Tanh.forward here"
    )
    assert result.per_task["mean"].message.startswith("NotImplementedError: 02_main, task mean: ")
    assert term.recorded("unsolved") == {"check_tanh": 0.0, "check_mean": 0.0}


def test_a_wrong_answer_loses_its_own_points_by_a_hidden_test(term):
    result = term.grade("naive", term.student(task_mean="def mean(n):\n    return sum(n) / len(n)"))

    assert points(result) == ALL | {"mean": 0.0}
    assert result.per_task["mean"].message == "AssertionError: add exactly, large numbers cancel"


def test_one_task_left_open_fails_only_its_own_check(term):
    released = cell(term.unsolved, "task_tanh")["source"]

    assert points(term.grade("half", term.student(task_tanh=released))) == ALL | {"tanh": 0.0}


def test_an_answer_in_words_waits_for_a_person_and_an_untouched_one_does_not(term):
    term.grade("writer_of_words", term.student(question_why="Because exp grows faster."))
    term.grade("silent", term.student())

    by_hand = {student: term.by_hand(student) for student in ("writer_of_words", "silent")}

    assert by_hand == {"writer_of_words": (True, None, 1.0), "silent": (False, 0.0, 1.0)}


def test_a_notebook_without_the_question_cell_is_graded_all_the_same(term):
    notebook = term.student()
    notebook["cells"] = [entry for entry in notebook["cells"] if entry["id"] != "question_why"]

    result = term.grade("no_question", notebook)

    assert (points(result), result.state) == (ALL, "graded")
    assert "question_why is missing" in result.detail


def test_formgrader_lists_the_release_and_the_answer_that_waits_for_a_person(term):
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    term.grade("asker", term.student(question_why="Because exp grows faster."))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = CourseDirectory(root=str(term.course_dir), db_url=f"sqlite:///{term.course_dir / 'gradebook.db'}")
        api = NbGraderAPI(folder)
        listed = {row["name"]: row for row in api.get_assignments()}
        (notebook,) = api.get_notebooks("02_main")
        waiting = {
            row["student"]: row["needs_manual_grade"] for row in api.get_notebook_submissions("02_main", "02_main")
        }

    assert set(listed) == set(term.course.ids)
    assert listed["02_main"]["release_path"] == "release/02_main"
    assert (listed["02_main"]["max_code_score"], listed["02_main"]["max_written_score"]) == (5.0, 1.0)
    assert (notebook["name"], notebook["max_score"]) == ("02_main", 6.0)
    assert waiting["asker"] is True


def test_grading_again_gives_the_same_single_grade(term):
    first = term.grade("again", term.student())
    notebook = (term.course_dir / "autograded/again/02_main/02_main.ipynb").read_bytes()
    second = term.grade("again", term.student())

    assert second == first
    assert (term.course_dir / "autograded/again/02_main/02_main.ipynb").read_bytes() == notebook
    assert term.recorded("again") == {"check_tanh": 2.0, "check_mean": 3.0}


def test_a_later_worse_submission_replaces_the_recorded_points(term):
    term.grade("worse", term.student())
    assert sum(term.recorded("worse").values()) == 5.0

    term.grade("worse", b"{")
    assert term.recorded("worse") == {"check_tanh": 0.0, "check_mean": 0.0}


@pytest.mark.slow
def test_an_endless_loop_costs_its_task_and_the_next_student_is_graded(term):
    result = term.grade("looper", term.student(task_mean="def mean(numbers):\n    while True: pass\n"))
    after = term.grade("after", term.student())

    assert points(result) == ALL | {"mean": 0.0}
    assert result.per_task["mean"].message == "the check took longer than 3 s (an endless loop?)"
    assert (result.state, after.points) == ("graded", 5.0)
    assert term.recorded("looper") == {"check_tanh": 2.0, "check_mean": 0.0}


@pytest.mark.slow
def test_a_loop_outside_the_tasks_costs_nothing_but_time(term):
    result = term.grade("waster", insert_after(term.student(), "locked_setup", "while True:\n    pass"))

    assert points(result) == ALL


@pytest.mark.slow
def test_a_cell_that_ignores_the_interrupt_keeps_earlier_points_and_ends_the_run(term):
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass"
    result = term.grade("stubborn", insert_after(term.student(), "check_tanh", code), cell_timeout_s=1)

    assert points(result) == ALL | {"mean": 0.0}
    assert result.state == "graded"
    assert result.per_task["mean"].message.startswith("not run: the kernel stopped answering")
    assert term.recorded("stubborn") == {"check_tanh": 2.0, "check_mean": 0.0}


@pytest.mark.slow
def test_a_notebook_over_its_whole_time_is_failed(term):
    notebook = insert_after(term.student(), "check_tanh", "while True:\n    pass")
    result = term.grade("tortoise", notebook, cell_timeout_s=60, notebook_timeout_s=5)

    assert (result.state, result.code) == ("FAILED", "timeout")
    assert points(result) == ALL | {"mean": 0.0}
    assert "took longer than 5 s" in result.detail


def test_deleting_the_gradebook_and_reading_the_source_find_nothing(term):
    database = term.course_dir / "gradebook.db"
    before = hashlib.sha256((term.course_dir / "source/02_main/02_main.ipynb").read_bytes()).hexdigest()
    code = (
        "import os, pathlib\n"
        f"for path in ({str(database)!r}, {str(term.course_dir)!r}, {str(term.root)!r}):\n"
        "    print('seen' if os.path.exists(path) else 'absent')\n"
        f"try: os.remove({str(database)!r})\n"
        "except FileNotFoundError: print('nothing to remove')\n"
        "roots = [pathlib.Path('/course'), pathlib.Path('/tmp')]\n"
        # the environment itself may lie under /tmp, and nbgrader brings notebooks of its own
        "found = [path for root in roots for path in root.rglob('*.ipynb') if 'site-packages' not in path.parts]\n"
        "print('notebooks', found)\n"
        "print('leaked', any('total_of_all' in path.read_text() for path in roots[0].rglob('*.py')))\n"
    )
    result = term.grade("deleter", insert_after(term.student(), "locked_setup", code))

    printed = term.printed("deleter").split("\n")
    assert [line for line in printed if line in ("seen", "absent")] == ["absent"] * 3
    assert "nothing to remove" in printed and "notebooks []" in printed and "leaked False" in printed
    assert points(result) == ALL
    assert term.recorded("deleter") == {"check_tanh": 2.0, "check_mean": 3.0}
    assert hashlib.sha256((term.course_dir / "source/02_main/02_main.ipynb").read_bytes()).hexdigest() == before


def test_the_bundles_package_is_mounted_read_only_and_the_working_folder_is_writable(term):
    code = (
        "import exercise_code, os\n"
        "print(exercise_code.__file__, os.environ['EXERCISE_FAST'], os.environ['DATASETS_OFFLINE'])\n"
        "open('notes.txt', 'w').write('mine')\n"
        "print(os.path.exists('/course/datasets/registry.toml'))\n"
        "open('/course/exercise_code/layer.py', 'a')\n"
    )
    term.grade("writer", insert_after(term.student(), "locked_setup", code))

    printed = term.printed("writer")
    assert "/course/exercise_code/__init__.py 1 1\nTrue" in printed
    assert "Permission denied" in printed or "Read-only file system" in printed  # as root or as a user


def test_a_dead_kernel_keeps_what_was_checked_before(term):
    result = term.grade("quitter", insert_after(term.student(), "check_tanh", "import os\nos._exit(0)"))

    assert points(result) == ALL | {"mean": 0.0}
    assert (result.state, result.code) == ("graded", None)
    assert "ended its own kernel" in result.detail
    assert result.per_task["mean"].message.startswith("not run: ")
    assert term.recorded("quitter") == {"check_tanh": 2.0, "check_mean": 0.0}


def test_a_kernel_that_dies_before_any_check_is_failed(term):
    result = term.grade("early", insert_after(term.student(), "locked_setup", "import os\nos._exit(0)"))

    assert (result.state, result.code, result.points) == ("FAILED", "kernel_died", 0.0)
    assert term.recorded("early") == {"check_tanh": 0.0, "check_mean": 0.0}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "notebook_not_json"),
        (b"\xff\xfe\x00", "notebook_not_json"),
        (b"[" * 200_000, "notebook_not_json"),
        (b"[]", "notebook_format"),
        (b'{"nbformat": 3, "worksheets": []}', "notebook_format"),
        (b'{"nbformat": 4, "cells": [1]}', "notebook_format"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}', "notebook_format"),
        (b'{"nbformat": 4, "cells": []}', "wrong_notebook"),
        (b" " * 20_000_001, "notebook_too_large"),
    ],
    ids=["cut", "binary", "deep", "list", "v3", "cell", "source", "empty", "huge"],
)
def test_a_file_that_is_no_notebook_is_failed_with_a_reason(term, content, code):
    result = term.grade("garbage", content)

    assert (result.state, result.code, result.points) == ("FAILED", code, 0.0)
    assert result.detail and "\n" not in result.detail
    assert term.recorded("garbage") == {"check_tanh": 0.0, "check_mean": 0.0}


def test_duplicate_cell_ids_and_grade_ids_do_not_stop_the_batch(term):
    notebook = term.student()
    position = notebook["cells"].index(cell(notebook, "task_mean"))
    notebook["cells"].insert(position, cell(term.unsolved, "task_mean"))
    notebook["cells"].insert(0, cell(notebook, "check_tanh"))
    notebook["cells"][0] = copy.deepcopy(notebook["cells"][0])

    result = term.grade("copycat", notebook)

    assert points(result) == ALL
    assert "task_mean appears 2 times, the last one counts" in result.detail
    assert "check_tanh appears 2 times" in result.detail


def test_an_edited_check_is_restored_and_reported(term):
    notebook = term.student(task_mean="def mean(n):\n    return 0.0", check_mean="pass  # all is well")
    cell(notebook, "check_mean")["metadata"]["nbgrader"]["points"] = 1000
    cell(notebook, "check_mean")["metadata"]["nbgrader"]["locked"] = False

    result = term.grade("editor", notebook)

    assert points(result) == ALL | {"mean": 0.0}
    assert result.max_points == 5
    assert result.detail == "check_mean was edited and has been restored"
    assert term.recorded("editor") == {"check_tanh": 2.0, "check_mean": 0.0}


def test_a_deleted_check_earns_nothing_and_says_so(term):
    notebook = term.student()
    notebook["cells"].remove(cell(notebook, "check_mean"))

    result = term.grade("remover", notebook)

    assert points(result) == ALL | {"mean": 0.0}
    assert result.per_task["mean"].message.startswith("cell missing: ")
    assert "check_mean is missing" in result.detail
    assert term.recorded("remover") == {"check_tanh": 2.0, "check_mean": 0.0}


def test_cells_are_still_known_when_a_tool_has_dropped_their_metadata(term):
    notebook = term.student()
    for item in notebook["cells"]:
        item["metadata"] = {}

    assert points(term.grade("stripped", notebook)) == ALL


@pytest.mark.parametrize("tag", ["skip-execution", "raises-exception", ""])
def test_forged_outputs_counts_and_tags_are_ignored(term, tag):
    notebook = copy.deepcopy(term.unsolved)
    for item in notebook["cells"]:
        if item["cell_type"] == "code":
            item["metadata"]["tags"] = [tag]
            item["execution_count"] = 7
            item["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "tanh: right"}]

    result = term.grade("forger", notebook)

    assert result.points == 0.0
    assert "tanh: right" not in term.printed("forger")


@pytest.mark.parametrize(
    "noise",
    [
        "print('progress 10%', file=sys.stderr)",
        "warnings.warn('old style')",
        "sys.displayhook(float('nan'))",
        "sys.displayhook(-1)",
        "sys.displayhook(10**9)",
        "os.write(2, b'raw')",
    ],
)
def test_warnings_progress_and_values_in_a_check_change_no_points(term, noise):
    body = f"    {noise}\n    return math.fsum(numbers) / len(numbers)\n"
    answer = f"import os, sys, warnings\ndef mean(numbers):\n{body}"

    result = term.grade("noisy", term.student(task_mean=answer))

    assert points(result) == ALL
    assert term.recorded("noisy") == {"check_tanh": 2.0, "check_mean": 3.0}


def test_a_patched_traceback_does_not_hide_a_failure(term):
    code = "type(get_ipython()).showtraceback = lambda *args, **kwargs: None"
    notebook = insert_after(term.student(task_mean="def mean(n):\n    return 0.0"), "locked_setup", code)

    assert points(term.grade("silencer", notebook)) == ALL | {"mean": 0.0}


@pytest.mark.parametrize(
    "nonsense",
    [
        "'display_data', {}",
        "'stream', {'name': 7, 'text': [{'a': 1}]}",
        "'execute_result', {'execution_count': 'x', 'data': {'text/plain': {'deep': 1}}, 'metadata': {}}",
        "'status', {}",
        "'clear_output', {}",
        "'comm_open', {}",
        "'stream', {'name': 'stdout', 'text': 'lone \\ud800 surrogate'}",
    ],
)
def test_messages_that_make_no_sense_fail_the_sender_only(term, nonsense):
    code = f"k = get_ipython().kernel\nk.session.send(k.iopub_socket, {nonsense}, parent=k.get_parent())"

    result = term.grade("babbler", insert_after(term.student(), "check_tanh", code))

    assert result.per_task["tanh"].points == 2.0
    assert result.state == "graded"
    assert result.per_task["mean"].points == 3.0 or "made no sense" in result.per_task["mean"].message


@pytest.mark.slow
def test_a_flood_of_output_is_cut_and_costs_no_points(term):
    code = "for i in range(300):\n    print('x' * 100_000)"
    result = term.grade("flood", insert_after(term.student(), "locked_setup", code), cell_timeout_s=30)

    assert points(result) == ALL
    path = term.course_dir / "autograded" / "flood" / "02_main" / "02_main.ipynb"
    assert path.stat().st_size < 12_000_000
    assert "output cut after" in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_socket_folder_on_disk_cannot_be_filled(term):
    fill = "open(glob.glob('/tmp/k*')[0] + '/f', 'wb').write(b'x' * 5_000_000)"
    code = f"import glob, time\n{fill}\ntime.sleep(30)"
    result = term.grade("hoarder", insert_after(term.student(), "check_tanh", code), cell_timeout_s=30)

    if os.geteuid() == 0:
        assert "Permission denied" in term.printed("hoarder")
        assert points(result) == ALL
    else:
        assert points(result) == ALL | {"mean": 0.0}
        assert "wrote outside of /tmp" in result.detail


def test_nothing_of_a_run_is_left_behind(term, monkeypatch):
    ours = f"{os.getpid():08x}"  # other tests grade at the same time, with folders of their own
    made = []
    monkeypatch.setattr("autograder.grading.autograde.secrets.token_hex", lambda size: made.append(size) or ours)
    term.grade(
        "tidy",
        insert_after(term.student(), "check_tanh", "import os\nif os.fork() == 0:\n    while True: pass"),
    )

    assert made, "the name of its folders was asked for"
    assert not list(Path("/tmp").glob(f"*{ours}*"))
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in running if str(term.course_dir).encode() in line and b"bwrap" in line]


def test_grading_says_nothing_on_the_terminal(term, capfd):
    term.grade("quiet", insert_after(term.student(), "locked_setup", "import os\nos.write(1, b'to your terminal')"))

    assert capfd.readouterr() == ("", "")


def test_the_package_may_be_imported_from_the_earlier_solved_exercise(term):
    result = term.grade("reuser", insert_after(term.student(), "locked_setup", "print(Double().forward(21.0))"))

    assert "42.0" in term.printed("reuser")
    assert result.points == 5.0


@pytest.mark.parametrize("student", ["../other", "Upper", "a", "x" * 40, "*"])
def test_a_student_id_that_could_be_a_path_is_refused(term, student):
    with pytest.raises(SubmissionError, match="expected lower-case"):
        term.grade(student, term.unsolved)


def test_an_unreleased_exercise_is_our_fault_and_says_what_to_run(term, tmp_path):
    with pytest.raises(CourseError, match="run `release 02_main`"):
        autograde_one(term.course, term.exercise, tmp_path, "someone", b"{}", term.sandbox)


def test_a_sandbox_that_cannot_start_the_kernel_is_our_fault(term):
    broken = replace(term.sandbox, python="/nonexistent/python")

    with pytest.raises(SandboxError, match="the kernel does not start in the sandbox"):
        autograde_one(term.course, term.exercise, term.course_dir, "victim", json.dumps(term.solved).encode(), broken)


def test_without_a_sandbox_the_honest_notebook_is_graded_the_same(term):
    """`--unsafe` on a machine without bubblewrap; whoever asks for it says so in every score."""
    content = json.dumps(term.student()).encode()
    result = autograde_one(term.course, term.exercise, term.course_dir, "trusted", content, Sandbox.unsafe())

    assert points(result) == ALL


def run_cell(*outputs, source="check()"):
    return NotebookNode(cell_type="code", source=source, outputs=[NotebookNode(output) for output in outputs])


ERROR = {
    "output_type": "error",
    "ename": "AssertionError",
    "evalue": "\x1b[31mno\x1b[0m\nway",
    "traceback": [],
}
MISSING = "cell missing: take it from the released notebook and hand in again"
STDERR = {"output_type": "stream", "name": "stderr", "text": "warning"}


@pytest.mark.parametrize(
    ("cell", "changes", "passed", "message"),
    [
        (run_cell(), {}, True, "passed"),
        (run_cell(STDERR), {}, True, "passed"),
        (run_cell(), {"status": None}, False, "not run: the cell is empty"),
        (run_cell(), {"status": None, "stop": Stop("memory", "too much")}, False, "not run: too much"),
        (run_cell(), {"status": "error"}, False, "the check did not end well"),
        (run_cell(STDERR, ERROR), {}, False, "AssertionError: no way"),
        (run_cell(source="pass"), {}, False, "the check cell could not be restored"),
        (run_cell(), {"missing": True}, False, MISSING),
    ],
)  # fmt: skip
def test_only_a_check_that_ran_and_ended_well_passes_and_nbgrader_agrees(cell, changes, passed, message):
    from nbgrader.utils import determine_grade

    defaults = {"expected": "check()", "status": "ok", "missing": False, "stop": None, "timeout_s": 3}
    verdict = judge(cell, **(defaults | changes))
    align_with_nbgrader(cell, verdict)

    assert (verdict.passed, verdict.message) == (passed, message)
    cell.metadata = NotebookNode(nbgrader={"grade": True, "solution": False, "points": 7})
    assert determine_grade(cell) == (7.0 if passed else 0, 7.0)


def test_outputs_are_rebuilt_with_the_types_that_nbformat_demands():
    import nbformat

    odd = [
        {"output_type": "stream", "name": 7, "text": "\ud800"},
        {"output_type": "error", "ename": 1, "evalue": None, "traceback": "x"},
        {"output_type": "display_data", "data": {"text/plain": {"a": 1}, "text/html": "<b>", "../x": "y"}},
        {"output_type": "execute_result", "execution_count": "three", "data": 3, "metadata": 4},
        {"output_type": "surprise"},
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=rebuilt_outputs(odd))])

    nbformat.validate(notebook)
    outputs = notebook.cells[0].outputs
    assert [output.output_type for output in outputs] == ["stream", "error", "display_data", "execute_result"]
    assert (outputs[0].name, outputs[0].text) == ("stdout", "?")
    assert outputs[2].data == {"text/html": "<b>"}


def test_preparing_keeps_order_and_text_and_drops_everything_else(term):
    notebook = term.student()
    notebook["cells"].append({"cell_type": "raw", "id": "r", "metadata": {"x": 1}, "source": ["a\n", "b \ud800"]})
    checks = {item["id"]: item["source"] for item in term.solved["cells"] if item["id"].startswith("check_")}

    prepared = prepare(json.dumps(notebook).encode(), term.unsolved, checks)

    texts = [item["source"] for item in prepared.notebook["cells"]]
    assert texts == [*(item["source"] for item in notebook["cells"][:-1]), "a\nb ?"]
    assert len({item["id"] for item in prepared.notebook["cells"]}) == len(texts)
    assert (prepared.missing, prepared.notes) == (frozenset(), ())


def test_another_exercises_notebook_is_refused(term):
    other = (term.root / "exercises/01_warm_up/01_warm_up.ipynb").read_bytes()

    with pytest.raises(Refused, match="wrong_notebook"):
        prepare(other, term.unsolved, {})
