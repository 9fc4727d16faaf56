"""Releasing: what students get, what they must not get, and that a rerun changes nothing."""

import io
import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from autograder.course import leaks, manifest
from autograder.course.bundle import write_folder, zip_bytes
from autograder.course.release import release
from autograder.errors import CourseError, MarkerError, RecordsError

TOY = Path(__file__).parent / "toy_course"
SECRETS = ("math.exp(number)", "1.0 - self.output**2", "total_of_all", "slope at zero", "add exactly")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A gradebook that already knows exercise 01; nbgrader takes three seconds to create one."""
    folder = tmp_path_factory.mktemp("first")
    shutil.copytree(TOY, folder / "course")
    run_release(folder / "course", "01_warm_up")
    return folder / "course" / ".course" / "gradebook.db"


@pytest.fixture
def root(tmp_path, database):
    shutil.copytree(TOY, tmp_path / "course")
    (tmp_path / "course" / ".course").mkdir()
    shutil.copy(database, tmp_path / "course" / ".course")
    return tmp_path / "course"


def run_release(root, exercise_id="02_main"):
    course = manifest.load(root / "solutions" / "course.toml")
    return release(course, exercise_id, root / ".course", root / "exercises")


def contents(root, *folders):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_released_notebook_has_named_stubs_and_no_solution_hidden_test_or_output(root):
    report = run_release(root)

    text = report.notebook.read_text(encoding="utf-8")
    cells = {cell["id"]: cell for cell in json.loads(text)["cells"]}
    stub = 'raise NotImplementedError("02_main, task tanh: write the body of Tanh.forward here")'
    assert stub in "".join(cells["task_tanh"]["source"])
    assert "### " not in text
    assert not [secret for secret in SECRETS if secret in text]
    assert "Because its slope" not in text
    assert all(cell.get("outputs", []) == [] for cell in cells.values())
    assert all(cell.get("execution_count") is None for cell in cells.values())
    assert "".join(cells["check_mean"]["source"]) == (
        'assert mean([1.0, 2.0, 6.0]) == 3.0, "the mean of 1, 2 and 6 is 3"'
    )
    assert (report.tasks, report.points, report.changed) == (2, 5, True)


def test_releasing_twice_gives_identical_bytes_everywhere(root):
    first = run_release(root)
    before = contents(root, "exercises", ".course/bundles", ".course/snapshot", ".course/source")
    second = run_release(root)

    assert contents(root, "exercises", ".course/bundles", ".course/snapshot", ".course/source") == before
    assert second.bundle_sha256 == first.bundle_sha256
    assert (first.changed, second.changed) == (True, False)


def test_two_course_folders_get_identical_bytes(root, tmp_path):
    run_release(root)
    shutil.copytree(TOY, tmp_path / "elsewhere")
    run_release(tmp_path / "elsewhere")

    parts = ("exercises", ".course/bundles", ".course/snapshot")
    assert contents(tmp_path / "elsewhere", *parts) == contents(root, *parts)


def test_week_one_strips_every_later_exercise_and_week_two_keeps_week_one_solved(root):
    run_release(root, "01_warm_up")
    one = (root / ".course/snapshot/01_warm_up/exercise_code/layer.py").read_text(encoding="utf-8")
    run_release(root, "02_main")
    two = (root / ".course/snapshot/02_main/exercise_code/layer.py").read_text(encoding="utf-8")

    assert "twice_the_number" not in one and "math.exp" not in one
    assert "twice_the_number = number + number" in two and "math.exp" not in two
    assert "SOLUTION" not in one + two


@pytest.mark.parametrize(("exercise_id", "open_tasks"), [("01_warm_up", 3), ("02_main", 2)])
def test_the_snapshot_imports_and_each_open_part_raises_its_own_name(root, exercise_id, open_tasks):
    run_release(root, exercise_id)
    code = (
        "from exercise_code.layer import Double, Tanh\n"
        "for call in (Double().forward, Tanh().forward, Tanh().backward):\n"
        "    try: print('solved', call(1.0))\n"
        "    except NotImplementedError as error: print('open', error)\n"
    )
    folder = root / ".course" / "snapshot" / exercise_id
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)

    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines].count("open") == open_tasks
    assert "open 02_main, task Tanh.backward: write this part in 02_main.ipynb" in lines


def test_the_bundle_has_the_repositorys_names_fixed_times_and_no_tests(root):
    (root / "exercise_code" / "tests").mkdir()
    (root / "exercise_code" / "tests" / "test_layer.py").write_text("total_of_all = 1\n", encoding="utf-8")
    (root / "exercise_code" / "__pycache__").mkdir()
    (root / "exercise_code" / "__pycache__" / "layer.pyc").write_bytes(b"\0")
    (root / "solutions" / "02_main" / "images").mkdir()
    (root / "solutions" / "02_main" / "images" / "net.png").write_bytes(b"\x89PNG")

    report = run_release(root)

    with zipfile.ZipFile(report.bundle) as archive:
        assert archive.namelist() == [
            "README.md",
            "datasets/README.md",
            "datasets/registry.toml",
            "exercise_code/__init__.py",
            "exercise_code/checks.py",
            "exercise_code/layer.py",
            "exercises/02_main/02_main.ipynb",
            "exercises/02_main/exercise.json",
            "exercises/02_main/images/net.png",
            "requirements.txt",
        ]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("exercises/02_main/02_main.ipynb") == report.notebook.read_bytes()
        snapshot = {name: archive.read(name) for name in archive.namelist() if not name.startswith("exercises/")}
    assert {
        str(path.relative_to(report.snapshot.parent)): path.read_bytes()
        for path in report.snapshot.parent.rglob("*")
        if path.is_file()
    } == snapshot


def test_zip_bytes_depend_on_names_and_contents_only():
    one, other = zip_bytes({"a": b"1", "b/c": b"2"}), zip_bytes({"b/c": b"2", "a": b"1"})

    assert one == other
    assert zip_bytes({"a": b"1", "b/c": b"3"}) != one
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        assert archive.testzip() is None


NOTEBOOK, CHECKS = "solutions/02_main/02_main.py", "exercise_code/checks.py"
HIDDEN_TEST = '# assert mean([Double().forward(1.0)]) == 2.0, "exercise 01 is solved in this bundle"'
PLANTED = {
    "hint": (NOTEBOOK, "# ## Tanh", "# Try `slope_here = 1.0 - self.output**2`.", "slope"),
    "free-cell-comment": (NOTEBOOK, "math.tanh(0.5)", "# total_of_all = math.fsum(numbers)", "total_of_all"),
    "package-comment": (
        CHECKS,
        "import math",
        "# grown, shrunk = math.exp(number), math.exp(-number)",
        "grown",
    ),
    "readme": ("datasets/README.md", "# Data", "return upstream * slope_here", "upstream"),
    "requirements": ("requirements.txt", "numpy>=2", "# return total_of_all / len(numbers)", "total_of_all"),
    "hidden-test": (NOTEBOOK, "# Why does tanh saturate?", HIDDEN_TEST, "Double"),
    "model-answer": (
        NOTEBOOK,
        "# Why does",
        "# Because its slope is one minus its square.\n# Why does",
        "slope",
    ),
}


@pytest.mark.parametrize(("file", "old", "new", "shown"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_leak_stops_the_release_before_students_files_change(root, file, old, new, shown):
    run_release(root)
    parts = ("exercises", ".course/bundles", ".course/snapshot", ".course/source", ".course/release")
    before = contents(root, *parts)
    edit(root / file, old, f"{old}\n{new}")

    with pytest.raises(CourseError, match=rf"leak: .*{shown}") as caught:
        run_release(root)
    assert "\n" not in str(caught.value)
    assert contents(root, *parts) == before


def test_a_line_that_also_stands_in_public_code_is_no_leak(root):
    edit(root / "exercise_code/layer.py", "twice_the_number = number + number", "return_value = int(number)")
    public = "number = 4.0\n    return_value = int(number)\n    layer = solution()"
    edit(root / "exercise_code/checks.py", "layer = solution()", public)
    edit(root / "exercise_code/layer.py", "return twice_the_number", "return return_value * 2.0")

    assert run_release(root, "01_warm_up").exercise == "01_warm_up"


def test_a_line_of_a_doctest_is_no_leak_and_one_of_a_comment_is(root):
    edit(
        root / "exercise_code/checks.py",
        "import math",
        "EXAMPLE = '''\n>>> total_of_all = math.fsum(numbers)\n'''\nimport math",
    )
    assert run_release(root).exercise == "02_main"

    edit(root / "exercise_code/checks.py", ">>> total_of_all", "# total_of_all")
    with pytest.raises(CourseError, match="leak: .*total_of_all"):
        run_release(root)


def test_the_scan_finds_a_solution_that_stripping_missed(root):
    course = manifest.load(root / "solutions" / "course.toml")
    secrets = leaks.secrets_of(course, course.exercise("02_main"), {"cells": []})

    solved = (root / "exercise_code" / "layer.py").read_bytes()
    clean = b"def forward(self, number): ...\nother_slope_here = 1.0 - self.output**2.5\n"
    leaks.refuse_leaks(secrets, {"exercise_code/layer.py": clean})
    with pytest.raises(CourseError, match="BEGIN SOLUTION"):
        leaks.refuse_leaks(secrets, {"exercise_code/layer.py": solved})
    without_markers = b"\n".join(line for line in solved.split(b"\n") if b"###" not in line)
    with pytest.raises(CourseError, match="leak: exercise_code/layer.py shows"):
        leaks.refuse_leaks(secrets, {"exercise_code/layer.py": without_markers})


def test_a_misspelt_marker_in_the_package_stops_the_release_and_writes_nothing(root):
    edit(root / "exercise_code/layer.py", "### BEGIN SOLUTION 02_main", "### BEGIN SOLUTON 02_main")

    with pytest.raises(MarkerError, match=r"layer\.py:\d+: "):
        run_release(root)
    assert not (root / "exercises").exists()


def test_a_link_in_the_package_is_refused(root):
    (root / "exercise_code" / "link.py").symlink_to("/etc/hostname")

    with pytest.raises(CourseError, match="symbolic link"):
        run_release(root)


@pytest.mark.parametrize("name", ["requirements.txt", "datasets/registry.toml"])
def test_a_file_that_the_bundle_needs_must_exist(root, name):
    (root / name).unlink()

    with pytest.raises(CourseError, match="is missing"):
        run_release(root)


def test_a_changed_text_replaces_the_old_release_also_in_the_database(root):
    run_release(root)
    edit(root / "solutions/02_main/02_main.py", "1, 2 and 6 is 3", "1, 2 and 6 is three")

    report = run_release(root)

    assert report.changed
    assert "1, 2 and 6 is three" in report.notebook.read_text(encoding="utf-8")


def test_release_says_nothing_on_the_terminal(root, capfd):
    run_release(root)

    assert capfd.readouterr() == ("", "")
    assert "Writing" in (root / ".course/logs/nbgrader.log").read_text(encoding="utf-8")


def test_writing_a_folder_removes_what_is_no_longer_in_it(tmp_path):
    assert write_folder(tmp_path / "out", {"a.txt": b"1", "deep/b.txt": b"2"})
    assert not write_folder(tmp_path / "out", {"a.txt": b"1", "deep/b.txt": b"2"})
    assert write_folder(tmp_path / "out", {"a.txt": b"3"})

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_cells_cannot_change_once_somebody_has_handed_in_and_the_old_release_stays(root):
    from nbgrader.api import Gradebook

    run_release(root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Gradebook(f"sqlite:///{root / '.course' / 'gradebook.db'}") as book:
            book.update_or_create_student("alice")
            book.update_or_create_submission("02_main", "alice")
    before = contents(root, "exercises", ".course/bundles", ".course/source", ".course/release")
    edit(root / "solutions/02_main/02_main.py", '# %% locked="setup"', "# %%")

    with pytest.raises(RecordsError, match="Cannot add or remove cells .* keep the cells") as caught:
        run_release(root)
    assert "\n" not in str(caught.value)
    assert contents(root, "exercises", ".course/bundles", ".course/source", ".course/release") == before
