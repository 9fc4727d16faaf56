"""The demo as a list of steps: hidden set, release, twelve students at work, collect, grade, score, publish, compare."""

from __future__ import annotations

import csv
import json
import shutil
import time
import zipfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.demo.stage import DATA, Stage, students_at_work
from autograder.demo.verdicts import Verdict, judge
from autograder.errors import CourseError

ROOT = Path(__file__).resolve().parents[2]
EXERCISE = "04_grid_search"
BASELINES = {"linear": "e05", "reference": "a01"}  # whose model the staff of the demo shows as a baseline


def run(data: str, work: Path) -> None:
    """Play the course in the folder `work`, which is emptied first, and print a table of verdicts.

    Args:
        data: "stand-in" (drawn by a program, no network) or "cifar10" (the real training images, a part of which is
            held out as the hidden set).

    Raises:
        CourseError: unknown data, data that is not here, no sandbox, or a verdict that is not the designed one.
    """
    from autograder.course.manifest import load
    from autograder.course.release import release
    from autograder.grading.batch import Engine
    from autograder.grading.notebooks import autograde
    from autograder.grading.sandbox import Sandbox
    from autograder.grading.score import score
    from autograder.intake.collect import collect
    from autograder.intake.roster import load_roster
    from autograder.records.export import export_grades
    from autograder.records.publish import publish

    if data not in DATA:
        raise CourseError(f"demo: expected --data to be {' or '.join(DATA)}, got {data!r}")
    console, started = Console(width=None if Console().is_terminal else 150), time.monotonic()
    course = load(ROOT / "solutions" / "course.toml")
    exercise = course.exercise(EXERCISE)
    Sandbox.detect()  # before minutes of training
    work = work.resolve()
    _empty(work)
    course_dir, drop = work / "course", work / "drop"

    _step(console, "release", "strip the solutions, build the notebook and the students' bundle")
    released = release(course, EXERCISE, course_dir, work / "exercises")
    console.print(f"  {released.tasks} tasks, {released.points} points, {released.bundle.relative_to(work)}")

    _step(console, "hidden-set", f"hold out images ({data}) in a secret order")
    stage = Stage.build(data, work, course_dir, exercise, ROOT)
    console.print(f"  {stage.hidden['size']:,} images, version {stage.hidden['version']}")

    _step(console, "students", "twelve of them work; training is real, so this is the long part")
    students_at_work(console, stage, released.bundle, work, drop, ROOT)
    students = json.loads((drop / "students.json").read_text(encoding="utf-8"))
    roster = work / "roster.csv"
    _write_csv(roster, ("student_id", "name"), [(s["student_id"], s["name"]) for s in students])
    (drop / "students.json").rename(work / "students.json")
    late = {s["student_id"] for s in students if s["expected"].get("code") == "late"}
    arrivals = []
    for i, student in enumerate(s["student_id"] for s in students):
        when = exercise.due + (timedelta(minutes=7) if student in late else timedelta(hours=-70 + 5 * i))
        arrivals.append((f"{student}.zip", when.isoformat()))
    _write_csv(drop / "received.csv", ("file", "received_at"), arrivals)

    _step(console, "collect", "take the zips in, unopened by anything but our own reader")
    report = collect(course, EXERCISE, drop, roster, course_dir)
    console.print(f"  {', '.join(f'{count} {what}' for what, count in sorted(report.counts().items()))}")

    _step(console, "autograde", "run every notebook, its kernel alone in a sandbox")
    graded = autograde(course, EXERCISE, course_dir, engine=Engine("local"))
    console.print(f"  {len(graded.graded)} graded, {len(graded.failed)} failed")

    _baselines(drop, course_dir / "baselines" / EXERCISE)
    _step(console, "score", "run every model in a sandbox on the hidden images, count in the trusted process")
    scores = score(course, EXERCISE, course_dir, engine=Engine("local"))
    shown = ", ".join(f"{name} {100 * correct / total:.1f} %" for name, correct, total in scores.baselines)
    console.print(f"  {len(scores.scored)} scored, {len(scores.failed)} failed; baselines: {shown}")

    _step(console, "publish", "build the leaderboard")
    page = publish(course, course_dir, roster, work / "site").out / f"{EXERCISE}.html"
    grades = work / "grades.csv"
    export_grades(course, course_dir, load_roster(roster), grades)

    with grades.open(encoding="utf-8", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file) if row["exercise"] == EXERCISE}
    verdicts = [judge(student, rows[student["student_id"]]) for student in students]
    _print_verdicts(console, verdicts, stage.label)
    console.print(f"Leaderboard: {page}\nGrades with reasons: {grades}", soft_wrap=True, highlight=False)
    wrong = [verdict for verdict in verdicts if verdict.problems]
    seconds = time.monotonic() - started
    console.print(f"{len(verdicts) - len(wrong)} of {len(verdicts)} verdicts as designed, in {seconds:.0f} s")
    if wrong:
        what = "; ".join(f"{verdict.student}: {', '.join(verdict.problems)}" for verdict in wrong)
        raise CourseError(f"demo: {len(wrong)} verdict(s) differ from the design: {what}")


def _empty(work: Path) -> None:
    """Remove what an earlier demo left; anything else in the folder is not ours to remove."""
    marker = work / ".demo"
    if work.exists() and any(work.iterdir()) and not marker.exists():
        raise CourseError(f"demo: {work} holds files of something else, give another --work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    marker.touch()


def _baselines(drop: Path, folder: Path) -> None:
    """Lay out two models that were trained anyway, the linear one and the solved notebook's, as the staff's baselines."""
    folder.mkdir(parents=True)
    for name, student in BASELINES.items():
        with zipfile.ZipFile(drop / f"{student}.zip") as bundle:
            (folder / f"{name}.onnx").write_bytes(bundle.read("model.onnx"))


def _write_csv(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def _step(console: Console, name: str, what: str) -> None:
    console.print(Text(f"{name}: ", style="bold") + Text(what, style="default"))


def _print_verdicts(console: Console, verdicts: list[Verdict], label: str) -> None:
    table = Table(title=f"{EXERCISE}, hidden set of {label}")
    for column in ("student", "what the student did", "points", "accuracy", "verdict", "reason", ""):
        table.add_column(column, justify="right" if column in ("points", "accuracy") else "left", overflow="fold")
    for verdict in verdicts:
        sign = Text("as designed", style="green") if not verdict.problems else Text("WRONG", style="red")
        cells = (verdict.student, verdict.story, verdict.points, verdict.accuracy, verdict.state, verdict.reason)
        table.add_row(*map(Text, cells), sign)
    console.print(table)
