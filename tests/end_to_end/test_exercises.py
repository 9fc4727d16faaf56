"""Every exercise as students and graders meet it: what is released, nbgrader's own validation, and the gate."""

import functools
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from autograder.course.build import build_notebook, notebook_bytes
from autograder.course.manifest import load
from autograder.course.release import make

ROOT = Path(__file__).resolve().parents[2]
COURSE = load(ROOT / "solutions" / "course.toml")


@functools.cache
def made(exercise_id):
    with tempfile.TemporaryDirectory() as scratch:
        return make(COURSE, exercise_id, Path(scratch))


def cells(exercise_id):
    return json.loads(made(exercise_id).released[f"{exercise_id}.ipynb"])["cells"]


@pytest.mark.parametrize("exercise_id", COURSE.ids)
def test_nothing_released_holds_a_solution_a_hidden_test_or_an_output(exercise_id):
    """The same question as the release's own scan, asked in another way."""
    source = (ROOT / "solutions" / exercise_id / f"{exercise_id}.py").read_text(encoding="utf-8")
    hidden = re.findall(r"### BEGIN HIDDEN TESTS\n(.*?)### END HIDDEN TESTS", source, flags=re.DOTALL)
    secret = {line.strip() for block in hidden for line in block.splitlines() if len(line.strip()) > 24}
    answers = re.findall(r'# %% \[markdown\] question="\w+"\n(.*?)\n# %%', source, flags=re.DOTALL)
    secret |= {line.removeprefix("# ") for block in answers for line in block.splitlines() if len(line) > 24}
    # a line that also stands outside of the regions is no secret; a bug hunt shows half of its answer
    shown = re.sub(r"### BEGIN (SOLUTION|HIDDEN TESTS).*?### END (SOLUTION|HIDDEN TESTS)", "", source, flags=re.DOTALL)
    public = {line.strip() for line in shown.splitlines() if not line.startswith("#")}
    for path in sorted((ROOT / "exercise_code").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        regions = re.findall(rf"### BEGIN SOLUTION {exercise_id}\n(.*?)### END SOLUTION", text, flags=re.DOTALL)
        outside = re.sub(r"### BEGIN SOLUTION.*?### END SOLUTION", "", text, flags=re.DOTALL)
        secret |= {line.strip() for block in regions for line in block.splitlines() if len(line.strip()) > 24}
        public |= {line.strip() for line in outside.splitlines()}
    secret = {line for line in secret - public if not line.startswith("#")}
    assert len(secret) > 8, "the search itself must have something to look for"

    with zipfile.ZipFile(io.BytesIO(made(exercise_id).archive)) as archive:
        texts = {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}
    texts["cells"] = "\n".join("".join(cell["source"]) for cell in cells(exercise_id))

    for name, text in texts.items():
        if name.startswith("exercise_code/") or name == "cells" or name.endswith(".md"):
            assert [line for line in secret if line in text] == [], name
        assert not re.search(r"### (BEGIN|END) (SOLUTION|HIDDEN)", text), name
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells(exercise_id))


@pytest.mark.parametrize("exercise_id", COURSE.ids)
def test_every_stub_names_its_exercise_and_task_and_every_question_waits_for_an_answer(exercise_id):
    exercise = COURSE.exercise(exercise_id)
    answered = [cell for cell in cells(exercise_id) if cell["metadata"].get("nbgrader", {}).get("solution")]

    stubs = {cell["id"]: "".join(cell["source"]) for cell in answered if cell["cell_type"] == "code"}
    questions = {cell["id"]: "".join(cell["source"]) for cell in answered if cell["cell_type"] == "markdown"}
    assert set(stubs) == {f"task_{task.id}" for task in exercise.tasks}
    assert all(re.search(rf'raise NotImplementedError\("{exercise_id}, task \w', stub) for stub in stubs.values())
    assert questions == {f"question_{question.id}": "*Write your answer here.*" for question in exercise.questions}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("exercise_id", COURSE.ids)
def test_nbgrader_validate_passes_the_solved_notebook_and_fails_the_unsolved_one(exercise_id, tmp_path):
    exercise = COURSE.exercise(exercise_id)
    with zipfile.ZipFile(io.BytesIO(made(exercise_id).archive)) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "exercises" / exercise_id

    unsolved = _validate(folder, exercise.notebook)
    (folder / exercise.notebook).write_bytes(notebook_bytes(build_notebook(COURSE, exercise)))
    solved = _validate(folder, exercise.notebook)

    count = len(exercise.tasks) + len(exercise.questions)
    assert f"VALIDATION FAILED ON {count} CELL(S)" in " ".join(unsolved.split()), unsolved
    assert unsolved.count("not attempted yet") == len(exercise.tasks), unsolved
    assert "Success! Your notebook passes all the tests." in solved, solved


def _validate(folder, notebook):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DATASETS_DIR")}
    environment |= {"EXERCISE_FAST": "1", "DATASETS_OFFLINE": "1", "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "validate", notebook],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_gate_is_green_for_every_exercise():
    done = subprocess.run(
        [sys.executable, "-m", "autograder", "check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "all green in" in done.stdout
    for exercise in COURSE.exercises:
        assert f"{exercise.id}: green" in done.stdout
        assert f"ok {exercise.max_points}/{exercise.max_points} in" in done.stdout
