"""Verbs on the record: status, publish, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograder.cli.options import (
    COURSE,
    COURSE_DIR,
    CourseDir,
    Manifest,
    Roster,
    app,
    console,
    say,
)


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
    say(f"{count} rows in {out}")
