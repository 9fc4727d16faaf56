"""A released toy course whose students have handed notebooks in, for tests of whole runs."""

import copy
import csv
import io
import json
import shutil
import warnings
import zipfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from autograder.course import manifest
from autograder.course.build import read_notebook
from autograder.course.release import release
from autograder.intake.collect import collect
from autograder.records.gradebook import Gradebook

TOY = Path(__file__).parent / "toy_course"
EXERCISE = "02_main"


class Classroom:
    """`hand_in` takes a notebook into the record at once; `points` and `results` tell what both gradebooks have."""

    def __init__(self, root):
        shutil.copytree(TOY, root)
        self.root, self.course_dir = root, root / ".course"
        self.manifest = root / "solutions" / "course.toml"
        self.course = manifest.load(self.manifest)
        for exercise_id in self.course.ids:
            release(self.course, exercise_id, self.course_dir, root / "exercises")
        self.exercise = self.course.exercise(EXERCISE)
        self.solved = read_notebook((self.course_dir / "source" / EXERCISE / f"{EXERCISE}.ipynb").read_bytes())
        self.unsolved = read_notebook((root / "exercises" / EXERCISE / f"{EXERCISE}.ipynb").read_bytes())
        self.times = 0

    def notebook(self, *extra, after="locked_setup", **answers):
        """The solved notebook with texts replaced by cell id, and further cells after one of these ids."""
        notebook = copy.deepcopy(self.unsolved)
        for cell in notebook["cells"]:
            if cell["id"].startswith("task_"):
                cell["source"] = next(other["source"] for other in self.solved["cells"] if other["id"] == cell["id"])
            cell["source"] = answers.get(cell["id"], cell["source"])
        at = 1 + [cell["id"] for cell in notebook["cells"]].index(after)
        for number, text in enumerate(extra):
            own = {"cell_type": "code", "execution_count": None, "id": f"own-{number}", "metadata": {}, "outputs": []}
            notebook["cells"].insert(at + number, own | {"source": text})
        return notebook

    def hand_in(self, student, notebook):
        self.times += 1
        drop = self.root / f"drop{self.times}"
        drop.mkdir()
        content = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(self.exercise.notebook, content)
            archive.writestr("model.onnx", f"{student} {self.times}")
            claim = {"schema": 1, "exercise": EXERCISE, "claimed": {"model.onnx": 0.5}}
            archive.writestr("submission.json", json.dumps(claim))
        (drop / f"{student}.zip").write_bytes(buffer.getvalue())
        roster = self.root / "roster.csv"
        with roster.open("w", newline="") as file:
            csv.writer(file).writerows([("student_id", "name"), (student, student)])
        when = self.exercise.due - timedelta(days=2) + timedelta(minutes=self.times)
        report = collect(self.course, EXERCISE, drop, roster, self.course_dir, when, progress=False)
        assert [row.outcome for row in report.rows] == ["queued"]

    def copy(self, root):
        """The same class in another folder."""
        other = copy.copy(self)
        other.root = root
        other.course_dir = other.root / ".course"
        shutil.copytree(self.root, other.root)
        other.manifest = other.root / "solutions" / "course.toml"
        other.course = manifest.load(other.manifest)
        return other

    def points(self):
        """(student, check, points) in nbgrader's gradebook."""
        from nbgrader.api import Gradebook as NbgraderBook

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with NbgraderBook(f"sqlite:///{self.course_dir / 'gradebook.db'}") as book:
                return sorted(
                    (submission.student_id, grade.name, grade.auto_score)
                    for submission in book.assignment_submissions(EXERCISE)
                    for notebook in submission.notebooks
                    for grade in notebook.grades
                    if grade.name.startswith("check_")
                )

    def results(self):
        """(student, points, state, code, what was said per task) of every notebook result in the record, repetitions too."""
        with Gradebook(self.course_dir) as book:
            events = [event for row in book.submissions(EXERCISE) for event in book.events(row.id)]
            owners = {row.id: row.student for row in book.submissions(EXERCISE)}
            newest = book.notebooks(EXERCISE)
        graded = [event.submission_id for event in events if event.what.startswith("notebook")]
        assert sorted(graded) == sorted(newest), "a notebook has two results, or one is not in the audit"
        return sorted((owners[i], row.points, row.state, row.code, str(row.tasks)) for i, row in newest.items())


@pytest.fixture(scope="session")
def released_classroom(tmp_path_factory):
    return Classroom(tmp_path_factory.mktemp("released") / "class")


@pytest.fixture
def classroom(released_classroom, tmp_path):
    return released_classroom.copy(tmp_path / "class")


@pytest.fixture
def inputs(tmp_path):
    """Hidden inputs of `test_predict`'s shape, as jobs of scoring take them."""
    from autograder.grading.judge import Inputs
    from tests.autograder.test_predict import SHAPE, N

    path = tmp_path / "inputs.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (N, *SHAPE), dtype=np.uint8))
    path.chmod(0o644)
    return Inputs(path, N, "v")


@pytest.fixture
def model(tmp_path):
    """The bytes of a linear model for them."""
    from tests.autograder.test_predict import linear_model

    return linear_model(tmp_path / "m.onnx").read_bytes()
