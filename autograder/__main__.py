"""The command line: `python -m autograder VERB`. A verb calls its one module and prints what it returns."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.errors import CourseError, SubmissionError
from autograder.records.rows import clean

app = typer.Typer(
    help="Release, collect, grade, score and publish a course. Student code runs only in the sandbox.",
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
)
hidden_set_app = typer.Typer(help="The hidden test sets that models are scored on.", rich_markup_mode=None)
app.add_typer(hidden_set_app, name="hidden-set")

Exercise = Annotated[str, typer.Argument(help="Id of the exercise, for example 04_grid_search.")]
Manifest = Annotated[Path, typer.Option("--course", help="The course's manifest.")]
CourseDir = Annotated[
    Path,
    typer.Option("--course-dir", envvar="COURSE_DIR", help="Folder with the term's state; never publish it."),
]
Roster = Annotated[Path, typer.Option("--roster", help="CSV file with the columns student_id and name.")]
Unsafe = Annotated[
    bool,
    typer.Option("--unsafe", help="Run student code WITHOUT any isolation; every result says so for good."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]

COURSE = Path("solutions/course.toml")
COURSE_DIR = Path(".course")
INTERRUPTED = 130  # 128 + SIGINT


@app.command("release")
def release_verb(
    exercise: Annotated[str | None, typer.Argument(help="Id of the exercise, for example 04_grid_search.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Release every exercise of the manifest.")] = False,
    exercises: Annotated[Path, typer.Option("--exercises", help="Folder for the student notebooks.")] = Path(
        "exercises"
    ),
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Strip the solutions and write the student notebook, the package snapshot and the weekly bundle."""
    from autograder.course.manifest import load
    from autograder.course.release import release

    if every == (exercise is not None):
        raise CourseError("Missing argument 'EXERCISE': name one exercise, or --all alone for every one")
    loaded = load(course)
    for one in loaded.ids if every else [exercise or ""]:
        report = release(loaded, one, course_dir, exercises)
        changed = "new" if report.changed else "unchanged"
        _say(f"{report.exercise}: {report.tasks} tasks, {report.points} points, {changed}")
        _say(f"notebook {report.notebook}\nbundle {report.bundle}")


@app.command("new")
def new_verb(
    exercise: Annotated[str, typer.Argument(help="Id of the new exercise, for example 09_attention.")],
    title: Annotated[str, typer.Argument(help="Its title.")],
    course: Manifest = COURSE,
) -> None:
    """Write the skeleton of an exercise: notebook source, checks, catalogues and manifest entry; overwrites nothing."""
    from autograder.course.manifest import load
    from autograder.course.new import new

    created = new(load(course), exercise, title)
    _say("\n".join(created.files))
    _say(f"Next: python -m autograder release {exercise}, then python -m autograder check {exercise}")


@app.command("check")
def check_verb(
    exercise: Annotated[str | None, typer.Argument(help="Only this exercise, by id or number.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what executes notebooks.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Exercises side by side.")] = 2,
    course: Manifest = COURSE,
) -> None:
    """The gate: sources, release, checks and notebooks of every exercise agree; exit code 1 when one does not."""
    from autograder.course.gate import check_course
    from autograder.course.manifest import load

    if check_course(load(course), exercise, _console(), quick=quick, jobs=jobs):
        raise typer.Exit(1)


@app.command("collect")
def collect_verb(
    exercise: Exercise,
    drop: Annotated[
        Path,
        typer.Option(
            "--drop", help="Folder with STUDENT.zip or STUDENT/submission.zip, or a platform's bulk download."
        ),
    ],
    roster: Roster,
    source: Annotated[
        str, typer.Option("--format", help="folder, moodle, canvas, nbgrader, or auto: what the names look like.")
    ] = "auto",
    received_at: Annotated[
        str | None,
        typer.Option("--received-at", help="When hand-ins without a time in received.csv arrived; ISO, with a zone."),
    ] = None,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
    quiet: Quiet = False,
) -> None:
    """Take a folder of hand-ins into the record; what is refused is recorded with its reason."""
    from autograder.course.manifest import load
    from autograder.intake.collect import collect
    from autograder.intake.deadlines import zoned

    moment = zoned(received_at) if received_at else None
    if received_at and moment is None:
        raise SubmissionError(f"--received-at {received_at!r}: expected a time like 2026-12-16T15:59:59+01:00")
    report = collect(load(course), exercise, drop, roster, course_dir, moment, source=source, progress=not quiet)
    rows = [(row.file, row.student, row.outcome, f"{row.code} {row.detail}".strip()) for row in report.rows]
    _table(("file", "student", "outcome", "reason"), rows)
    _say(_counts(report.counts()) or "the drop is empty")


@hidden_set_app.command("build")
def hidden_set_verb(
    exercise: Exercise,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Data set of the registry; the manifest's when nothing is given."),
    ] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Folder with one folder of images per class.")] = None,
    stand_in: Annotated[
        str | None,
        typer.Option("--stand-in", help="Draw a procedural stand-in of this data set, needs no download."),
    ] = None,
    part: Annotated[str, typer.Option("--part", help="Part of the data set or folder.")] = "test",
    size: Annotated[int | None, typer.Option("--size", help="Take this many images at random.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a different set; earlier scores go out of date.")
    ] = False,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Build an exercise's hidden test set in a secret order."""
    from autograder.course.manifest import load
    from autograder.grading import hidden_set

    found = load(course).exercise(exercise)
    if not (dataset or folder or stand_in) and found.hidden_set:
        dataset = found.hidden_set.dataset
    sides = {model.input[1:] for model in found.models if model.input[1] == model.input[2]}
    meta = hidden_set.build(
        course_dir,
        found.id,
        dataset=dataset,
        part=part,
        folder=folder,
        stand_in=stand_in,
        n=size,
        side=sides.pop()[0] if len(sides) == 1 else None,
        replace=replace,
    )
    source = f"{meta['source']}{' (a stand-in)' if meta['standin'] else ''}"
    _say(f"{found.id}: version {meta['version']}, {meta['size']:,} images of {source}")


@app.command("autograde")
def autograde_verb(
    exercise: Exercise,
    unsafe: Unsafe = False,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
    quiet: Quiet = False,
) -> None:
    """Run every collected notebook in the sandbox and record its points."""
    from autograder.course.manifest import load
    from autograder.grading.notebooks import autograde

    report = autograde(load(course), exercise, course_dir, unsafe=unsafe, progress=not quiet)
    rows = [(student, f"{points:g}/{most:g}", "") for student, points, most in report.graded]
    rows += [(student, "FAILED", f"{code} {detail}".strip()) for student, code, detail in report.failed]
    _table(("student", "points", "reason"), rows)
    _say(f"{len(report.graded)} graded, {len(report.failed)} failed, {report.kept} graded before")


@app.command("score")
def score_verb(
    exercise: Exercise,
    unsafe: Unsafe = False,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
    quiet: Quiet = False,
) -> None:
    """Score every collected model on the hidden set; a rerun does only what is missing."""
    from autograder.course.manifest import load
    from autograder.grading.score import score

    report = score(load(course), exercise, course_dir, unsafe=unsafe, progress=not quiet)
    if report.note:
        _say(report.note)
        return
    rows = [(who, f"{100 * correct / total:.2f} %", f"{correct} of {total}") for who, correct, total in report.scored]
    rows += [(who, "FAILED", f"{code} {detail}".strip()) for who, code, detail in report.failed]
    _table(("student", "accuracy", "reason"), rows)
    for name, correct, total in report.baselines:
        _say(f"baseline {name}: {100 * correct / total:.2f} %, {correct} of {total}")
    _say(f"{len(report.scored)} scored, {len(report.failed)} failed")


@app.command("publish")
def publish_verb(
    roster: Roster,
    out: Annotated[Path, typer.Option("--out", help="Folder of the site; it is replaced as a whole.")] = Path(
        "leaderboard/site"
    ),
    serve: Annotated[bool, typer.Option("--serve", help="Then show the site to this machine until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option("--port", help="Port of the preview.")] = 8000,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Build the leaderboard; refused when a real id or name would be on it."""
    from autograder.course.manifest import load
    from autograder.records.preview import preview
    from autograder.records.publish import publish

    done = publish(load(course), course_dir, roster, out)
    _say(f"{done.entries} entries, {done.newly_published} newly published\npage {done.out / 'index.html'}")
    if serve:
        with preview(done.out, port) as site:
            print(f"preview {site.url} (only for this machine; Ctrl-C ends it)", flush=True)
            site.wait()


@app.command("export")
def export_verb(
    roster: Roster,
    out: Annotated[Path, typer.Option("--out", help="The CSV file to write; it holds names, for staff only.")] = Path(
        "grades.csv"
    ),
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Write all grades with names and reasons to a CSV file."""
    from autograder.course.manifest import load
    from autograder.intake.roster import load_roster
    from autograder.records.export import export_grades

    count = export_grades(load(course), course_dir, load_roster(roster), out)
    _say(f"{count} rows in {out}")


@app.command("status")
def status_verb(
    exercise: Annotated[str | None, typer.Argument(help="Only this exercise.")] = None,
    student: Annotated[str | None, typer.Option("--student", help="Only this student, with the whole history.")] = None,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Show where every submission is and why."""
    from autograder.course.manifest import load
    from autograder.records.status import status

    status(load(course), course_dir, exercise, student, _console())


@app.command("doctor")
def doctor_verb() -> None:
    """Try what this machine can enforce against submitted code; exit code 2 when grading is not safe here."""
    from autograder.grading import doctor

    findings = []
    for finding in doctor.examine():
        findings.append(finding)
        remedy = f"; to get it: {finding.remedy}" if finding.remedy else ""
        _say(f"{finding.state:6}  {finding.name:20}  {finding.text}{remedy}")
    safe = doctor.is_safe(findings)
    _say("safe grading is possible here" if safe else "do NOT grade here: submitted code could get out or get away")
    if not safe:
        raise typer.Exit(2)


@app.command("demo")
def demo_verb(
    data: Annotated[
        str, typer.Option("--data", help="stand-in or cifar10 (needs DATASETS_DIR or a download).")
    ] = "stand-in",
    work: Annotated[Path, typer.Option("--work", help="Folder for everything the demo makes.")] = Path(".demo"),
) -> None:
    """Run the whole course once with a made-up class of twelve."""
    from autograder.demo import run

    run(data, work)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; what staff can put right is one line on stderr and exit code 2."""
    try:
        code = app(argv, prog_name="python -m autograder", standalone_mode=False)
        if code == INTERRUPTED:  # how typer passes on Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except CourseError as error:
        return _error(str(error))
    except (KeyboardInterrupt, typer.Abort):
        _error("interrupted; run the same verb again, it does only what is missing")
        return INTERRUPTED
    except BrokenPipeError:
        return 1
    except Exception as error:
        if not hasattr(error, "format_message"):  # not a usage error: a bug, which keeps its traceback
            raise
        return _error(f"{error.format_message()} See --help.")


def _error(message: str) -> int:
    print(f"error: {clean(message, 1000)}", file=sys.stderr)
    return 2


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160)


def _say(text: str) -> None:
    print(text)


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if rows:
        table = Table(*columns)
        for row in rows:
            table.add_row(*map(Text, row))
        _console().print(table)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
