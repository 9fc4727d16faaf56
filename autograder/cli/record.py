"""Verbs on the record: status, publish, export; and what staff decide: integrity, withdraw, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograder.cli.options import (
    COURSE,
    COURSE_DIR,
    Address,
    CourseDir,
    EngineName,
    Exercise,
    Manifest,
    Quiet,
    Roster,
    Unsafe,
    Workers,
    app,
    console,
    say,
    table,
)
from autograder.errors import CourseError


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

    status(load(course), course_dir, exercise, student, console())


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
    say(f"{done.entries} entries, {done.newly_published} newly published\npage {done.out / 'index.html'}")
    if serve:
        with preview(done.out, port) as site:
            print(f"preview {site.url} (only for this machine; Ctrl-C ends it)", flush=True)
            site.wait()


@app.command("export")
def export_verb(
    roster: Roster,
    exercise: Annotated[str | None, typer.Argument(help="Only this exercise; moodle needs one.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The CSV file to write; it holds names, for staff only.")] = Path(
        "grades.csv"
    ),
    form: Annotated[str, typer.Option("--format", help="csv (everything, for staff), moodle or canvas.")] = "csv",
    what: Annotated[
        str,
        typer.Option("--what", help="For a platform: points of the notebook, passed (1 or 0) or accuracy (percent)."),
    ] = "points",
    zero_missing: Annotated[
        bool, typer.Option("--zero-missing", help="For a platform: 0 for who has no grade; else the cell is empty.")
    ] = False,
    worksheet: Annotated[
        Path | None,
        typer.Option("--worksheet", help="moodle: the assignment's own grading worksheet, to be filled in."),
    ] = None,
    assignment: Annotated[
        str, typer.Option("--assignment", help='canvas: name of the column, "Title (number)" as Canvas exports it.')
    ] = "",
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Write grades to a CSV file: all with names and reasons, or in the form of a learning platform."""
    from autograder.course.manifest import load
    from autograder.intake.roster import load_roster
    from autograder.records.export import export_grades
    from autograder.records.lms import Asked, export_canvas, export_moodle

    found, students, asked = load(course), load_roster(roster), Asked(what, zero_missing)
    if form not in ("csv", "moodle", "canvas"):
        raise CourseError(f"--format {form!r}: expected csv, moodle or canvas")
    for option, value, of in (("--worksheet", worksheet, "moodle"), ("--assignment", assignment, "canvas")):
        if value and form != of:
            raise CourseError(f"{option} belongs to --format {of}, got --format {form}")
    if form == "csv":
        say(f"{export_grades(found, course_dir, students, out, exercise)} rows in {out}")
        return
    if form == "moodle" and exercise is None:
        raise CourseError("Missing argument 'EXERCISE': a Moodle worksheet is of one assignment")
    if form == "moodle":
        done = export_moodle(found, course_dir, exercise or "", students, out, asked, worksheet)
    else:
        done = export_canvas(found, course_dir, [exercise] if exercise else found.ids, students, out, asked, assignment)
    for line in done.left_out:
        say(f"left out: {line}")
    say(f"{done.rows} rows in {out}")


@app.command("integrity")
def integrity_verb(
    exercise: Exercise,
    settle: Annotated[int | None, typer.Option("--settle", help="Close the open flag with this number.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="What was found out about it; kept for good.")] = "",
    unsafe: Unsafe = False,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = None,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
    quiet: Quiet = False,
) -> None:
    """List reasons to look at submissions, for staff; no grade depends on them."""
    from autograder.course.manifest import load
    from autograder.grading.batch import Engine
    from autograder.grading.integrity import integrity
    from autograder.records.withdraw import settle_flag

    found = load(course)
    if settle is not None:
        say(settle_flag(found, exercise, course_dir, settle, reason))
        return
    where = Engine(engine, workers, address)
    report = integrity(found, exercise, course_dir, unsafe=unsafe, engine=where, progress=not quiet)
    rows = [(str(flag.id), flag.kind, report.who(flag), flag.evidence) for flag in report.flags]
    table(("flag", "kind", "students", "evidence"), rows)
    say("\n".join([*report.notes, f"{len(rows)} flags are open, {report.new} of them new; none changes a grade"]))


@app.command("withdraw")
def withdraw_verb(
    submission: Annotated[int, typer.Argument(help="Number of the submission, as status shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, and who asked for it; kept for good.")],
    undo: Annotated[bool, typer.Option("--undo", help="Let it count again.")] = False,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Let a submission no longer count; its results stay in the record."""
    from autograder.course.manifest import load
    from autograder.records.withdraw import withdraw

    say(withdraw(load(course), course_dir, submission, reason, undo=undo))


@app.command("explain")
def explain_verb(
    student: Annotated[str, typer.Argument(help="Id of the student.")],
    exercise: Exercise,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Tell how a grade came about: hand-ins, verdicts, versions, what counts and why."""
    from autograder.course.manifest import load
    from autograder.records.explain import explain

    say("\n".join(explain(load(course), course_dir, student, exercise)))


@app.command("regrade")
def regrade_verb(
    exercise: Exercise,
    student: Annotated[str | None, typer.Option("--student", help="Only this student.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Commit it; without this nothing changes.")] = False,
    unsafe: Unsafe = False,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = None,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
    quiet: Quiet = False,
) -> None:
    """Grade everything again and show whose grade would change; --yes commits that, by new rows."""
    from autograder.course.manifest import load
    from autograder.grading.batch import Engine
    from autograder.grading.regrade import regrade

    where = Engine(engine, workers, address)
    found, loud = load(course), not quiet
    report = regrade(
        found, exercise, course_dir, student=student, commit=yes, unsafe=unsafe, engine=where, progress=loud
    )
    rows = [(row.student, row.old, row.new, "passing changes" if row.passes else "") for row in report.changes]
    table(("student", "now", "then", ""), rows)
    for line in report.contradictions:
        say(f"contradiction: {line}")
    count = sum(row.passes for row in report.changes)
    say(f"{len(rows)} students change, {count} of them between passed and not passed; {report.same} stay as they are")
    say(f"committed, {report.rows} submissions got new rows" if yes else "nothing was changed; --yes commits this")
