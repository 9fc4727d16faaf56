"""Exercise 04 as students and graders meet it: what is released, what it is worth solved and unsolved."""

import hashlib
import json
import re
import zipfile
from pathlib import Path

import nbformat
import pytest

from autograder.course.manifest import load
from autograder.course.release import release
from autograder.grading.autograde import autograde_one
from autograder.grading.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
EXERCISE = "04_grid_search"


@pytest.fixture(scope="module")
def course():
    return load(ROOT / "solutions" / "course.toml")


@pytest.fixture(scope="module")
def released(course, tmp_path_factory):
    """(report, course_dir, exercises) of a fresh release."""
    folder = tmp_path_factory.mktemp("term")
    report = release(course, EXERCISE, folder / "course", folder / "exercises")
    return report, folder / "course", folder / "exercises"


@pytest.fixture(scope="module")
def sandbox():
    return Sandbox.detect()


def test_the_committed_student_notebook_is_byte_for_byte_a_fresh_release(released):
    fresh = released[2] / EXERCISE
    committed = ROOT / "exercises" / EXERCISE

    def content(folder):
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    assert content(committed).keys() == content(fresh).keys()
    for name, data in content(fresh).items():
        assert content(committed)[name] == data, f"{name} is stale: run `make release` and commit the result"


def test_releasing_again_gives_the_same_bundle(course, released, tmp_path):
    again = release(course, EXERCISE, tmp_path / "course", tmp_path / "exercises")

    assert again.bundle_sha256 == released[0].bundle_sha256
    assert hashlib.sha256(again.bundle.read_bytes()).hexdigest() == again.bundle_sha256


def test_nothing_released_holds_a_solution_a_hidden_test_or_an_output(released):
    source = (ROOT / "solutions" / EXERCISE / f"{EXERCISE}.py").read_text(encoding="utf-8")
    hidden = re.findall(r"### BEGIN HIDDEN TESTS\n(.*?)### END HIDDEN TESTS", source, flags=re.DOTALL)
    secret = {line.strip() for block in hidden for line in block.splitlines() if len(line.strip()) > 12}
    for path in sorted((ROOT / "exercise_code").rglob("*.py")):
        regions = re.findall(
            rf"### BEGIN SOLUTION {EXERCISE}\n(.*?)### END SOLUTION", path.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        secret |= {line.strip() for block in regions for line in block.splitlines() if len(line.strip()) > 25}
    assert len(secret) > 30, "the search itself must have something to look for"

    with zipfile.ZipFile(released[0].bundle) as archive:
        texts = {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}
    notebook = json.loads(texts[f"exercises/{EXERCISE}/{EXERCISE}.ipynb"])
    texts["cells"] = "\n".join("".join(cell["source"]) for cell in notebook["cells"])

    for name, text in texts.items():
        assert [line for line in secret if line in text] == [], name
        assert not re.search(r"### (BEGIN|END) (SOLUTION|HIDDEN)", text), name
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook["cells"])


def test_every_stub_names_its_exercise_and_task(released):
    notebook = nbformat.read(released[0].notebook, as_version=4)

    stubs = [c.source for c in notebook.cells if c.metadata.get("nbgrader", {}).get("solution")]

    assert len(stubs) == 8
    assert all(re.search(rf'raise NotImplementedError\("{EXERCISE}, task \w', stub) for stub in stubs)


@pytest.mark.slow
def test_the_solved_notebook_earns_every_point(course, released, sandbox):
    solved = (released[1] / "source" / EXERCISE / f"{EXERCISE}.ipynb").read_bytes()

    result = autograde_one(course, course.exercise(EXERCISE), released[1], "z01", solved, sandbox)

    assert (result.state, result.points, result.max_points) == ("graded", 15, 15), result


@pytest.mark.slow
def test_the_unsolved_notebook_earns_none_and_each_message_says_not_attempted(course, released, sandbox):
    unsolved = released[0].notebook.read_bytes()

    result = autograde_one(course, course.exercise(EXERCISE), released[1], "z02", unsolved, sandbox)

    assert (result.state, result.points) == ("graded", 0)
    for task in result.per_task.values():
        assert "not attempted" in task.message, task
