"""How fast notebooks are graded: nbgrader's own `nbgrader autograde` and our `autograde`, on the same notebooks.

    python benchmarks/bench_notebooks.py [--quick] [--notebooks 20] [--workers 2] [--exercise 01_sigmoid]

Both are whole commands in processes of their own, starting included. nbgrader runs as it always does, one notebook after
the other and without any sandbox; ours runs every kernel in its own. Both give the kernels the same environment
(repetitions cut with EXERCISE_FAST, one BLAS thread), but nbgrader's also draw the figures, which ours do not. Students are made from the solution: every second one left a task
open. Points per check are then read from both gradebooks and must be equal.
"""

import argparse
import copy
import csv
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the repository is not on the path

from autograder.course import manifest
from autograder.course.build import notebook_bytes, read_notebook
from autograder.course.manifest import Course, Exercise
from autograder.course.release import release
from autograder.intake.collect import collect

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "tests" / "autograder" / "toy_course"
KERNELS = {
    "EXERCISE_FAST": "1",
    "DATASETS_OFFLINE": "1",
    "DATASETS_CACHE": "off",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
POINTS = """
SELECT sa.student_id, bc.name, g.auto_score FROM grade g
JOIN base_cell bc ON bc.id = g.cell_id JOIN submitted_notebook sn ON sn.id = g.notebook_id
JOIN submitted_assignment sa ON sa.id = sn.assignment_id
WHERE bc.name LIKE 'check!_%' ESCAPE '!' ORDER BY 1, 2
"""


def main() -> None:
    """Print a line per exercise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="six notebooks of the toy course only")
    parser.add_argument("--notebooks", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--exercise", default="01_sigmoid", help="of this course, beside the toy one")
    options = parser.parse_args()
    number = min(options.notebooks, 6) if options.quick else options.notebooks
    print(f"{number} notebooks, {options.workers} workers, load of this machine before {os.getloadavg()[0]:.1f}")
    print(f"{'exercise':12} {'nbgrader':>18} {'ours':>18} {'ratio':>6}  points")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        toy = Path(scratch, "toy")
        shutil.copytree(TOY, toy)
        compare(manifest.load(toy / "solutions" / "course.toml"), "02_main", toy, number, options.workers)
        if not options.quick:
            course = manifest.load(ROOT / "solutions" / "course.toml")
            compare(course, options.exercise, Path(scratch, "real"), number, options.workers)


def compare(course: Course, exercise_id: str, home: Path, number: int, workers: int) -> None:
    """Grade the same notebooks twice and print how long it took and whether the points are equal."""
    exercise, ours, theirs = course.exercise(exercise_id), home / "ours", home / "theirs"
    for earlier in course.ids[: course.ids.index(exercise_id) + 1]:
        release(course, earlier, ours, home / "exercises")
    shutil.copytree(ours, theirs)
    _hand_in(course, exercise, ours, home / "drop", dict(students(exercise, ours, number)))
    for student, content in students(exercise, theirs, number):
        folder = theirs / "submitted" / student / exercise.id
        folder.mkdir(parents=True)
        (folder / exercise.notebook).write_bytes(content)
    slow = _seconds(
        [sys.executable, "-m", "nbgrader", "autograde", exercise.id, f"--CourseDirectory.root={theirs}"],
        theirs,
        KERNELS | {"PYTHONPATH": str(theirs / "snapshot" / exercise.id)},
    )
    command = [sys.executable, "-m", "autograder", "autograde", exercise.id, "--quiet", "--workers", str(workers)]
    fast = _seconds(
        [*command, "--course", str(course.path), "--course-dir", str(ours)], ROOT, KERNELS | {"PYTHONPATH": str(ROOT)}
    )
    mine, peers = points(ours), points(theirs)
    verdict = "equal" if mine == peers else f"DIFFERENT: {sorted(set(mine) ^ set(peers))[:6]}"
    spread = sorted({sum(score for who, _, score in mine if who == student) for student, _, _ in mine})
    print(
        f"{exercise.id:12} {slow:6.1f} s {number / slow:6.2f} /s {fast:6.1f} s {number / fast:6.2f} /s "
        f"{slow / fast:5.1f}x  {verdict}, {len(mine)} grades, totals {spread}",
        flush=True,
    )


def students(exercise: Exercise, course_dir: Path, number: int) -> Iterator[tuple[str, bytes]]:
    """(id, notebook): the solution, in every second one with a task left open, and a cell of the student's own."""
    solved = read_notebook((course_dir / "source" / exercise.id / exercise.notebook).read_bytes())
    released = read_notebook((course_dir / "release" / exercise.id / exercise.notebook).read_bytes())
    texts = {cell["id"]: cell["source"] for cell in solved["cells"]}
    tasks = [f"task_{task.id}" for task in exercise.tasks]
    for i in range(number):
        notebook = copy.deepcopy(released)
        for cell in notebook["cells"]:
            if cell["id"] in tasks and not (i % 2 and cell["id"] == tasks[i // 2 % len(tasks)]):
                cell["source"] = texts[cell["id"]]
        own = {"cell_type": "code", "id": "own", "metadata": {}, "outputs": [], "execution_count": None}
        notebook["cells"].append(own | {"source": f"number = {i}"})
        yield f"s{i:03d}", notebook_bytes(notebook)


def _hand_in(course: Course, exercise: Exercise, course_dir: Path, drop: Path, notebooks: dict[str, bytes]) -> None:
    drop.mkdir()
    claim = {"schema": 1, "exercise": exercise.id, "claimed": {model.file: 0.5 for model in exercise.models}}
    for student, content in notebooks.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(exercise.notebook, content)
            archive.writestr("submission.json", json.dumps(claim))
            for model in exercise.models:
                archive.writestr(model.file, student.encode())
        (drop / f"{student}.zip").write_bytes(buffer.getvalue())
    roster = drop.with_name("roster.csv")
    with roster.open("w", newline="") as file:
        csv.writer(file).writerows([("student_id", "name"), *((student, student) for student in notebooks)])
    collect(course, exercise.id, drop, roster, course_dir, exercise.due - timedelta(days=1), progress=False)


def _seconds(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    begin = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return time.perf_counter() - begin


def points(course_dir: Path) -> list[tuple[str, str, float]]:
    """(student, check, points) in nbgrader's gradebook."""
    with closing(sqlite3.connect(course_dir / "gradebook.db")) as book:
        return book.execute(POINTS).fetchall()


if __name__ == "__main__":
    main()
